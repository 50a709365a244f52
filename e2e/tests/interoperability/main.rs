//! Kong at the other end: its control plane before our data planes, its data planes before our
//! control plane.

mod kong_control_plane;
mod kong_data_plane;
