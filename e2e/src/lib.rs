//! Runs whole `keelgate` processes and real servers for the end-to-end tests.
