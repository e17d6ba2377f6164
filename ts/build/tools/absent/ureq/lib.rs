//! In the place of `ureq`, as far as wasm-pack calls it: there is no network here, and every request is an error that says so.

use std::fmt;

pub fn builder() -> AgentBuilder {
    AgentBuilder
}

pub struct AgentBuilder;

impl AgentBuilder {
    pub fn try_proxy_from_env(self, _: bool) -> Self {
        self
    }

    pub fn user_agent(self, _: &str) -> Self {
        self
    }

    pub fn build(self) -> Agent {
        Agent
    }
}

pub struct Agent;

impl Agent {
    pub fn get(&self, address: &str) -> Request {
        Request(address.to_owned())
    }
}

pub struct Request(String);

impl Request {
    pub fn set(self, _: &str, _: &str) -> Self {
        self
    }

    pub fn call(self) -> Result<Response, Error> {
        Err(Error(self.0))
    }
}

/// No request is answered.
pub enum Response {}

impl Response {
    pub fn status(&self) -> u16 {
        match *self {}
    }

    pub fn into_json<T>(self) -> std::io::Result<T> {
        match self {}
    }
}

#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this wasm-pack asks the network for nothing, not for {}", self.0)
    }
}

impl std::error::Error for Error {}
