mod bodies;
mod connections;
mod database_away;
mod disk;
mod openapi;
mod requests;
