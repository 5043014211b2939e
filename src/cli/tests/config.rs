//! `config`.

use super::*;

#[test]
fn config_import_takes_a_file_or_a_dash() {
    let call = |words: &[&str]| {
        let words = ["isolate-run", "config"].iter().chain(words);
        parse(words.map(OsString::from))
    };
    let file = |name: &str| Ok(Call::Import(ImportSource::File(name.into())));
    assert_eq!(call(&["import", "/etc/isolate"]), file("/etc/isolate"));
    assert_eq!(call(&["--", "import", "--help"]), file("--help"));
    assert_eq!(
        call(&["import", "-"]),
        Ok(Call::Import(ImportSource::Stdin))
    );
}
