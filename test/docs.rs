//! The documentation points at functions of this source by name: they must be there.

use std::fs::read_to_string;

/// Every [`name`](target) of a text whose target is a Rust source.
fn links(text: &str) -> Vec<(&str, &str)> {
    let link = |piece| -> Option<(&str, &str)> {
        let (name, rest) = str::split_once(piece, "`](")?;
        let (target, _) = rest.split_once(')')?;
        Some((name, target)).filter(|(_, target)| target.contains(".rs"))
    };
    text.split("[`").filter_map(link).collect()
}

#[test]
fn named_functions_are_where_the_documentation_says() {
    let root = env!("CARGO_MANIFEST_DIR");
    for (page, at_least) in [("README.md", 1), ("crate/derivation.rs", 10)] {
        let text = read_to_string(format!("{root}/{page}")).unwrap();
        let links = links(&text);
        assert!(links.len() >= at_least, "{page} links to sources: {links:?}");
        for (name, target) in links {
            // Of a page that rustdoc makes of each source, relative to that of a module.
            let source = target.replace("../../src/sparse_xent/", "crate/").replace(".rs.html", ".rs");
            let code = read_to_string(format!("{root}/{source}"))
                .unwrap_or_else(|error| panic!("{page} links to {target}: {error}"));
            let is_function = ["(", "<"].iter().any(|end| code.contains(&format!("fn {name}{end}")));
            let is_there = is_function || name.contains('/');
            assert!(is_there, "{page}: no function {name} in {source}");
        }
    }
}

#[test]
fn the_packed_crate_holds_the_sources_and_no_more() {
    let list = std::process::Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    let list = String::from_utf8(list.stdout).unwrap();
    let packed: Vec<&str> = list.lines().collect();
    for file in ["README.md", "LICENSE-MIT", "crate/lib.rs", "crate/examples/train.rs"] {
        assert!(packed.contains(&file), "no {file}");
    }
    // A pattern of `include` without a leading slash holds in every folder, those of npm among them.
    let strangers: Vec<_> =
        packed.iter().filter(|file| file.contains('/') && !file.starts_with("crate/")).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}
