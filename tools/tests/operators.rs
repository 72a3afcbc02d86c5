//! `docs/operators.md` is what the registry of operators says. `FIXNET_BLESS=1` writes it anew.

use std::fs;
use std::path::Path;

#[test]
fn the_page_of_operators_is_that_of_the_registry() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operators.md");
    let page = tools::import::operators_page();
    if std::env::var_os("FIXNET_BLESS").is_some() {
        fs::write(&path, &page).expect("a writable page");
    }
    let written = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let differs = written.lines().zip(page.lines()).find(|(written, page)| written != page);
    assert!(
        written == page,
        "docs/operators.md is not what the registry says, first at {differs:?}; \
         `FIXNET_BLESS=1 cargo test -p tools --test operators` writes it"
    );
}
