//! The Admin API and the manager's pages.

use crate::section::section;
use crate::values::{AdminCredentials, NginxTime, Size};

section! {
    /// The Admin API and the manager's pages.
    pub struct Admin in "ADMIN API AND MANAGER" {
        /// The most bytes a request to the Admin API may have; 8 MiB at the most, but for
        /// `POST /config`, which takes 256 MiB.
        nginx_admin_client_max_body_size: Size = "10m" for Administering;
        /// Who may use the Admin API: `NAME:ROLE:SECRET, …`, where the role is `read-only` or
        /// `read-write`. When unset, whoever reaches it may do everything, as in Kong.
        /// A client shows its secret as `Authorization: Bearer SECRET`, as
        /// `Authorization: Basic` with its name, or as `Kong-Admin-Token: SECRET`. What is
        /// read includes secrets and private keys. Two secrets of one name allow to
        /// change it without a gap.
        admin_credentials: AdminCredentials = "" for Administering;
        /// How long the audit log at `/audit` remembers who changed what; `0` turns it
        /// off.
        admin_audit_retention: NginxTime = "30d" for Administering;
        /// The addresses under which browsers reach the manager's pages; answers of
        /// the Admin API allow these origins.
        admin_gui_url: Vec<String> = "" for Administering;
        /// The path under which the manager's pages lie.
        admin_gui_path: String = "/" for Administering,
            without_effect "there is no Kong Manager here";
        /// The address under which browsers reach the Admin API, when it is not the
        /// one that the pages find by themselves.
        admin_gui_api_url: Option<String> = "" for Administering,
            without_effect "there is no Kong Manager here";
    }
}
