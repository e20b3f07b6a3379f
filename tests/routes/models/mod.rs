mod inspect;
mod show;
mod upload;
