mod database_away;
mod openapi;
mod requests;
