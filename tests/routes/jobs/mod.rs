mod cancel;
mod candidates;
mod delete;
mod events;
mod idempotency;
mod list;
mod show;
mod submit;
