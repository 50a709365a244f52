//! Sets of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::error::Reason;

/// A set of addresses; looking one up takes logarithmic time.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// Sorted, and without overlap.
    blocks: Vec<IpNet>,
}

impl Addresses {
    /// Reads addresses and blocks in CIDR notation.
    pub(crate) fn new(field: &str, entries: &[String]) -> Result<Self, Reason> {
        let blocks = entries.iter().map(|entry| {
            let address = entry.parse::<IpAddr>().map(IpNet::from);
            address
                .or_else(|_| entry.parse())
                .map_err(|_| Reason::setting(field, format!("invalid ip or cidr range: '{entry}'")))
        });
        let blocks: Vec<IpNet> = blocks.collect::<Result<_, _>>()?;
        let mut blocks = IpNet::aggregate(&blocks);
        blocks.sort_unstable_by_key(IpNet::network);
        Ok(Self { blocks })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let after = self
            .blocks
            .partition_point(|block| block.network() <= address);
        after > 0 && self.blocks[after - 1].contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(entries: &[&str]) -> Addresses {
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Addresses::new("allow", &entries).unwrap()
    }

    #[test]
    fn blocks_may_overlap_and_have_host_bits() {
        let addresses = addresses(&["10.1.2.3/8", "10.0.0.0/16", "192.0.2.1", "2001:db8::/32"]);
        for (address, contained) in [
            ("10.200.0.1", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8::1", true),
            ("2001:db9::", false),
        ] {
            let found = addresses.contains(address.parse().unwrap());
            assert_eq!(found, contained, "{address}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_address_is_found_as_by_trying_every_block(
            blocks in proptest::collection::vec((0_u8..8, 0_u8..8, 8_u8..=32), 0..12),
            address in (0_u8..8, 0_u8..8),
        ) {
            let entries: Vec<String> = blocks
                .iter()
                .map(|(a, b, length)| format!("{a}.{b}.0.0/{length}"))
                .collect();
            let address = IpAddr::from([address.0, address.1, 0, 0]);
            let tried = entries
                .iter()
                .any(|entry| entry.parse::<IpNet>().unwrap().contains(&address));
            let found = Addresses::new("allow", &entries).unwrap().contains(address);
            prop_assert_eq!(found, tried);
        }
    }
}
