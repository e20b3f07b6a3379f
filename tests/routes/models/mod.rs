mod show;
mod upload;
