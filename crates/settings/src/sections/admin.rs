//! The Admin API and the manager's pages.

use crate::section::section;
use crate::values::Size;

section! {
    /// The Admin API and the manager's pages.
    pub struct Admin in "ADMIN API AND MANAGER" {
        /// The most bytes a request to the Admin API may have.
        nginx_admin_client_max_body_size: Size = "10m" for Administering;
        /// The addresses under which browsers reach the manager's pages; answers of
        /// the Admin API allow these origins.
        admin_gui_url: Vec<String> = "" for Administering;
        /// The path under which the manager's pages lie.
        admin_gui_path: String = "/" for Administering;
        /// The address under which browsers reach the Admin API, when it is not the
        /// one that the pages find by themselves.
        admin_gui_api_url: Option<String> = "" for Administering;
    }
}
