//! One suite that every storage must pass, run against each of them.
//!
//! Storages other than a directory are real servers, which `cargo xtask test` starts.

#![allow(clippy::unwrap_used)]

mod bed;
#[path = "../cloud_servers/mod.rs"]
mod cloud_servers;
mod clouds;
mod fencing;
mod mirror;
#[path = "../played_server/mod.rs"]
mod played_server;
#[path = "../s3_server/mod.rs"]
mod s3_server;
mod suite;

/// Makes one test per storage and property; `$bed` makes a fresh [`bed::Bed`].
macro_rules! conformance {
    ($($storage:ident: $bed:expr),* $(,)?) => {
        $(mod $storage {
            conformance! { @properties $bed;
                a_missing_object_is_not_found,
                what_was_created_is_read,
                a_create_never_overwrites,
                a_replace_needs_the_version_that_was_read,
                a_replace_of_a_deleted_object_fails,
                an_unconditional_write_replaces_whatever_is_there,
                an_empty_object_is_an_object,
                of_concurrent_creates_one_wins,
                of_concurrent_replaces_of_one_version_one_wins,
                no_increment_of_concurrent_writers_is_lost,
                an_unchanged_object_is_not_sent_again,
                a_large_object_survives_and_the_limit_holds,
                lists_show_the_objects_of_one_folder,
                folders_name_the_versions,
                a_deleted_object_is_gone_and_may_be_deleted_again,
                keys_that_are_not_plain_are_refused,
                an_operation_that_takes_too_long_is_given_up,
                a_missing_container_is_told_apart_from_a_missing_object,
                refused_credentials_are_told_and_never_shown,
            }
        })*
    };
    (@properties $bed:expr; $($property:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $property() {
            crate::suite::$property(&$bed).await;
        })*
    };
}

conformance! {
    directory: crate::bed::Bed::directory(),
    s3: crate::bed::Bed::s3(),
    gcs: crate::bed::Bed::gcs(),
    azure: crate::bed::Bed::azure(),
    azure_shared_access: crate::bed::Bed::azure_shared_access(),
}

/// What a storage does that is only read.
mod https {
    conformance! { @properties crate::bed::Bed::https().await;
        a_missing_object_is_not_found,
        what_was_created_is_read,
        an_unconditional_write_replaces_whatever_is_there,
        an_empty_object_is_an_object,
        an_unchanged_object_is_not_sent_again,
        a_large_object_survives_and_the_limit_holds,
        a_deleted_object_is_gone_and_may_be_deleted_again,
        keys_that_are_not_plain_are_refused,
        an_operation_that_takes_too_long_is_given_up,
    }
}
