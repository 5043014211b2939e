//! Whether this machine has what the configuration pins boxes to.

use super::Loaded;
use super::error::ConfigError;
use super::lists::PIN_KEYS;
use super::table::Key;
use crate::quantity::{CpuList, ranges};

impl Loaded {
    /// Fails for a pin to a CPU or memory node that is none of these, which are lists as in
    /// `/sys/devices/system/cpu/online`. What is `None` is not known.
    pub(crate) fn check_pins(
        &self,
        cpus: Option<&str>,
        nodes: Option<&str>,
    ) -> Result<(), ConfigError> {
        let written = self.inputs.get(Key::PIN).map(|at| at.value.items());
        let [_, cpus_key, nodes_key] = PIN_KEYS;
        for (pin, at) in self.settings.pins.iter().zip(written.unwrap_or_default()) {
            for (key, list, online, what) in [
                (cpus_key, &pin.cpus, cpus, "CPU"),
                (nodes_key, &pin.mems, nodes, "memory node"),
            ] {
                let online = online.map(str::trim_end);
                let Some(missing) = missing(list.as_ref(), online) else {
                    continue;
                };
                let mut entries = at.value.entries().iter();
                let own = entries.find(|(other, _)| other == key);
                let place = own.map_or(&at.place, |(_, own)| &own.place);
                let text = format!(
                    "{what} {missing} is not online on this machine, which has {}; runs in these boxes would fail",
                    online.unwrap_or_default()
                );
                return Err(place.key_error(format_args!("pin.{key}"), text));
            }
        }
        Ok(())
    }
}

/// The first of a list that is not online. Nothing is missing where nothing is known.
fn missing(list: Option<&CpuList>, online: Option<&str>) -> Option<u32> {
    list?.first_outside(&ranges(online?)?)
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;

    #[test]
    fn a_pin_to_what_is_not_there_is_named_with_its_place_and_with_what_is() {
        let text =
            "[[pin]]\nboxes = 0\ncpus = '0-1'\n[[pin]]\nboxes = 1\ncpus = '0,77'\nmems = 3\n";
        let machine = Machine::new().main(text);
        let loaded = machine.load().unwrap();
        let check = |cpus, nodes| {
            let checked = loaded.check_pins(cpus, nodes);
            let dir = machine.path().display().to_string();
            checked.map_err(|error| error.to_string().replace(&dir, "DIR"))
        };
        let of_cpu = check(Some("0-3\n"), Some("0\n")).unwrap_err();
        assert_eq!(
            of_cpu,
            "DIR/isolate.toml:6: pin.cpus: CPU 77 is not online on this machine, which has 0-3; runs in these boxes \
             would fail"
        );
        let of_node = check(Some("0-99\n"), Some("0\n")).unwrap_err();
        assert!(
            of_node.contains("7: pin.mems: memory node 3 is not online"),
            "{of_node}"
        );
        assert_eq!(check(Some("0-99"), Some("0-3")), Ok(()));
        assert_eq!(check(None, None), Ok(()));
    }
}
