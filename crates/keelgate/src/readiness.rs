//! Telling whoever started this process that it is ready, by the protocol of
//! systemd: a datagram to the socket in `NOTIFY_SOCKET`. `keelgate start` listens
//! on such a socket, too.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says that the node serves. Without a listener it does nothing.
pub(crate) fn ready() {
    notify("READY=1");
}

/// Says that the node is about to end.
pub(crate) fn stopping() {
    notify("STOPPING=1");
}

/// Says that another process is the node now.
pub(crate) fn main_process(id: u32) {
    notify(&format!("MAINPID={id}"));
}

fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    match send(&name, state) {
        Ok(()) => {}
        // `keelgate start` has gone when the node that it started ends.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) => {}
        Err(error) => {
            tracing::warn!(%error, state, "cannot notify the process that started this one");
        }
    }
}

fn send(name: &OsStr, state: &str) -> io::Result<()> {
    // A leading @ stands for a name that is in no directory.
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_arrives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify.sock");
        let listener = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let mut text = [0; 64];
        let length = listener.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"READY=1");
    }
}
