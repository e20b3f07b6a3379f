mod delete;
mod expiry;
mod inspect;
mod show;
mod upload;
