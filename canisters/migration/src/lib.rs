//! The hub's factory: records of migrations, what a migration costs, the module that is installed.

pub mod migrations;
pub mod module_store;
pub mod quote;
