//! What the lock file of a box says about it.

use super::Owner;

/// The first line of a record.
const VERSION: &str = "isolate-run 2";

/// What is known of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who initialized it.
    pub(crate) owner: Owner,
    /// The ids that its programs run with, which are leased to it.
    pub(crate) ids: Owner,
    /// Whether it was initialized with `--cg`.
    pub(crate) cg: bool,
    /// Whether the initialization was completed.
    pub(crate) ready: bool,
    /// Whether a run goes on. If nobody has the lock then, the keeper was killed, and what it left
    /// may still be dying.
    pub(crate) running: bool,
}

impl Record {
    /// The text of the record. All texts have the same length, so that one write replaces one by
    /// another whole.
    pub(super) fn print(&self) -> String {
        let Record {
            owner,
            ids,
            cg,
            ready,
            running,
        } = self;
        let Owner { uid, gid } = owner;
        let (box_uid, box_gid) = (ids.uid, ids.gid);
        let (cg, ready, running) = (u8::from(*cg), u8::from(*ready), u8::from(*running));
        format!(
            "{VERSION}\nuid {uid:010}\ngid {gid:010}\nbox-uid {box_uid:010}\nbox-gid {box_gid:010}\n\
             cg {cg}\nready {ready}\nrunning {running}\n"
        )
    }

    /// Reads what [`Record::print`] wrote, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let version = lines.next()?;
        let mut field = |name: &str| -> Option<u32> {
            let (found, value) = lines.next()?.split_once(' ')?;
            (found == name).then(|| value.parse().ok())?
        };
        let record = Self {
            owner: Owner {
                uid: field("uid")?,
                gid: field("gid")?,
            },
            ids: Owner {
                uid: field("box-uid")?,
                gid: field("box-gid")?,
            },
            cg: field("cg")? == 1,
            ready: field("ready")? == 1,
            running: field("running")? == 1,
        };
        // This rejects another version, a line too many and a number in another form.
        (version == VERSION && record.print() == text).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_records_have_the_same_length() {
        let record = |id, flag| Record {
            owner: Owner { uid: id, gid: id },
            ids: Owner { uid: id, gid: id },
            cg: flag,
            ready: !flag,
            running: flag,
        };
        let (small, large) = (record(0, false), record(u32::MAX, true));
        assert_eq!(small.print().len(), large.print().len());
        assert_eq!(Record::parse(&small.print()), Some(small));
        assert_eq!(Record::parse(&large.print()), Some(large));
    }
}
