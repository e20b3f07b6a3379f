//! Behaviour of the data set readers, by what is in a file.

mod fixture;
mod hostile_bytes;
mod loading;
mod opening;
mod refused;
