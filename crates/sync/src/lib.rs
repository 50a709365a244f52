//! Control plane to data plane over a mutually authenticated websocket
