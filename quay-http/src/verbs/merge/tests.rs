use std::collections::BTreeMap;

use tar::{Archive, Builder};

use super::*;

/// What a layer holds: `/` behind a name makes a directory, `->` a symbolic link, `=>` a hard link, `=` content.
fn layer(entries: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_gnu();
        header.set_mode(0o640);
        header.set_mtime(7);
        header.set_size(0);
        if let Some(path) = entry.strip_suffix('/') {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, path, io::empty()).unwrap();
        } else if let Some((path, target)) = entry.split_once("->") {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target).unwrap();
        } else if let Some((path, target)) = entry.split_once("=>") {
            header.set_entry_type(EntryType::Link);
            builder.append_link(&mut header, path, target).unwrap();
        } else {
            let (path, content) = entry.split_once('=').unwrap_or((entry, ""));
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn merged(layers: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let count = u32::try_from(layers.len()).unwrap();
    let open = |layer: u32| Ok(&layers[layer as usize][..]);
    let plan = Plan::of(count, open)?;
    let mut out = Vec::new();
    plan.write(count, open, b"", &mut out)?;
    assert_eq!(out.len() as u64, plan.size(), "the size is known before");
    Ok(out)
}

/// What is there once an archive has been unpacked, each path with what it is; hard links with their content.
fn tree(archive: &[u8]) -> BTreeMap<String, String> {
    let mut tree = BTreeMap::new();
    for entry in Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('/').to_owned();
        let path = text(&entry.path_bytes());
        let link = entry
            .link_name_bytes()
            .map(|link| text(&link))
            .unwrap_or_default();
        let is = match entry.header().entry_type() {
            EntryType::Directory => "/".to_owned(),
            EntryType::Symlink => format!("->{link}"),
            EntryType::Link => tree
                .get(&link)
                .cloned()
                .unwrap_or_else(|| format!("dangling {link}")),
            _ => {
                let mut content = String::new();
                entry.read_to_string(&mut content).unwrap();
                content
            }
        };
        assert!(tree.insert(path.clone(), is).is_none(), "{path} is there twice");
    }
    tree
}

#[track_caller]
fn assert_tree(layers: &[&[&str]], expected: &[(&str, &str)]) {
    let layers: Vec<_> = layers.iter().map(|entries| layer(entries)).collect();
    let seen = tree(&merged(&layers).unwrap());
    let seen: Vec<_> = seen
        .iter()
        .map(|(path, is)| (path.as_str(), is.as_str()))
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn the_upper_layer_counts() {
    assert_tree(
        &[&["a=new", "d/", "d/x=1"], &["./a=old", "d/", "d/y=2", "l->a"]],
        &[("a", "new"), ("d", "/"), ("d/x", "1"), ("d/y", "2"), ("l", "->a")],
    );
    // Of one layer the last entry counts.
    assert_tree(&[&["a=1", "a=2"]], &[("a", "2")]);
}

#[test]
fn whiteouts_hide_what_lies_below_and_nothing_beside_them() {
    assert_tree(
        &[&[".wh.a", "d/.wh.x"], &["a=1", "ab=2", "d/", "d/x=3", "d/y=4"]],
        &[("ab", "2"), ("d", "/"), ("d/y", "4")],
    );
    // A directory goes with all in it, and may come back with something else.
    assert_tree(
        &[&[".wh.d", "d/", "d/new=1"], &["d/", "d/e/", "d/e/old=2"]],
        &[("d", "/"), ("d/new", "1")],
    );
    // What was taken away may be put back above.
    assert_tree(&[&["a=3"], &[".wh.a"], &["a=1"]], &[("a", "3")]);
    // What aufs keeps for itself hides nothing.
    assert_tree(
        &[&[".wh..wh.plnk/", ".wh..wh.aufs"], &["plnk=1"]],
        &[("plnk", "1")],
    );
}

#[test]
fn an_opaque_directory_hides_what_lies_in_it_below() {
    assert_tree(
        &[
            &["d/", "d/new=1", "d/.wh..wh..opq"],
            &["d/", "d/old=2", "d/e/", "d/e/f=3", "de=4"],
        ],
        &[("d", "/"), ("d/new", "1"), ("de", "4")],
    );
    assert_tree(
        &[&[".wh..wh..opq", "a=1"], &["b=2", "c/", "c/d=3"]],
        &[("a", "1")],
    );
}

#[test]
fn what_is_no_directory_any_more_has_nothing_in_it() {
    assert_tree(&[&["d=file"], &["d/", "d/x=1"]], &[("d", "file")]);
    assert_tree(&[&["d->e"], &["d/", "d/x=1", "e/"]], &[("d", "->e"), ("e", "/")]);
    assert_tree(&[&["d/", "d/x=1"], &["d=file"]], &[("d", "/"), ("d/x", "1")]);
}

#[test]
fn hard_links_keep_their_content() {
    assert_tree(&[&["a=1", "b=>a", "c=>b"]], &[("a", "1"), ("b", "1"), ("c", "1")]);
    // The name that they lead to is gone, or another file's.
    assert_tree(&[&[".wh.a"], &["a=1", "b=>a", "c=>a"]], &[("b", "1"), ("c", "1")]);
    assert_tree(
        &[&["a=new"], &["a=old", "b=>a", "c=>b"]],
        &[("a", "new"), ("b", "old"), ("c", "old")],
    );
    // The file lies in a layer below.
    assert_tree(
        &[&["b=>a"], &["x=0", "a=1"]],
        &[("a", "1"), ("b", "1"), ("x", "0")],
    );
    assert_tree(
        &[&[".wh.a"], &["b=>a", "c=>a"], &["a=1"]],
        &[("b", "1"), ("c", "1")],
    );
    assert_tree(
        &[&["b=>c"], &["a=1", "c=>a"]],
        &[("a", "1"), ("b", "1"), ("c", "1")],
    );
    assert_tree(&[&[".wh.l"], &["l->a", "m=>l"]], &[("m", "->a")]);
    assert_tree(&[&["b=2"], &["a=1", "b=>a"]], &[("a", "1"), ("b", "2")]);
}

#[test]
fn long_names_and_attributes_travel_along() {
    let long = format!("{}/file", "directory/".repeat(20));
    let linked = format!("{}/link", "directory/".repeat(20));
    let entries = [format!("{long}=1"), format!("{linked}=>{long}")];
    let lower = layer(&[&entries[0], &entries[1]]);
    let whiteout = format!("{}/.wh.file", "directory/".repeat(20));
    let seen = tree(&merged(std::slice::from_ref(&lower)).unwrap());
    assert_eq!(seen.len(), 2);
    let seen = tree(&merged(&[layer(&[&whiteout]), lower]).unwrap());
    let expected = linked.replace("//", "/");
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(expected, "1".to_owned())]);

    let mut builder = Builder::new(Vec::new());
    let attribute: (&str, &[u8]) = ("SCHILY.xattr.user.mark", b"kept");
    builder.append_pax_extensions([attribute]).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(1);
    builder.append_data(&mut header, "a", &b"1"[..]).unwrap();
    let mut link = Header::new_ustar();
    link.set_entry_type(EntryType::Link);
    link.set_size(0);
    builder.append_link(&mut link, "b", "a").unwrap();
    let lower = builder.into_inner().unwrap();
    let out = merged(&[layer(&[".wh.a"]), lower]).unwrap();
    let mut archive = Archive::new(&out[..]);
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let kept = entry.pax_extensions().unwrap().unwrap();
    let kept: Vec<_> = kept
        .map(|record| record.unwrap().key().unwrap().to_owned())
        .collect();
    assert_eq!(kept, ["SCHILY.xattr.user.mark", "path"]);
}

#[test]
fn bad_layers_are_refused() {
    let whole = layer(&["a=content"]);
    assert!(merged(&[whole[..600].to_vec()]).is_err());
    assert!(merged(&[whole[..100].to_vec()]).is_err());
    assert!(merged(&[layer(&["a=>nothing"])]).is_err());
    let mut out_of_it = Header::new_gnu();
    out_of_it.as_mut_bytes()[..4].copy_from_slice(b"../a");
    out_of_it.set_size(0);
    out_of_it.set_cksum();
    assert!(merged(&[out_of_it.as_bytes().to_vec()]).is_err());
}

#[test]
fn memory_has_a_bound() {
    let mut budget = Budget {
        entries: 2,
        bytes: 10,
    };
    budget.spend(b"abc", b"").unwrap();
    assert!(budget.spend(b"abcd", b"efgh").is_err());
    budget.spend(b"abc", b"").unwrap();
    assert!(budget.spend(b"", b"").is_err());
}
