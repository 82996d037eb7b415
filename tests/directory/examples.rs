//! The example programs, run.

#[allow(dead_code)] // what it is a program for
#[path = "../../examples/two_products.rs"]
mod two_products;

#[test]
fn both_products_are_played_from_the_first_invitation_to_the_last_revocation() {
    let mut out = Vec::new();
    // It ends at the first decision that is not the one it expects.
    two_products::play(&mut out);
    let text = String::from_utf8(out).unwrap();
    let said = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    let counts = [": done", ": denied", ": refused", ": allow", ": deny"].map(said);
    assert_eq!(counts, [51, 6, 4, 17, 21], "{text}");
}
