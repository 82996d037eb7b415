//! The mutants that no request can tell from the policy, and why.
//!
//! They are many because of how the policies are made: grants rely on walls, and several roles' grants overlap. Another
//! action in a grant's scope changes nothing where a wall stops it or another grant gives it already.

use std::collections::BTreeSet;

/// Policy, mutant, how many mutants that is, and the reason; `*` stands for anything. The first that fits a mutant
/// explains it. The numbers keep a mutant that is new, or not noticed any more, from hiding behind an old reason.
const EQUIVALENT: &[(&str, &str, usize, &str)] = &[
    ("*", "== to in at *", 19, "roles, statuses and auditors are in nothing: `in` is `==` for them"),
    (
        "wall.auditor-read-or-portal",
        "*",
        15,
        "it never matches and is marked so: the schema gives auditors only what reads or is in the portal",
    ),
    (
        "wall.auditor-no-project",
        "action narrowed to read",
        1,
        "portal actions are about organizations and audit requests, which are on no project",
    ),
    (
        "wall.project-member",
        "principal widened to all",
        1,
        "guests and auditors have walls of their own that keep more from them",
    ),
    (
        "wall.read-only",
        "scope: write without *",
        40,
        "no policy permits it to a Read Only member; the wall would stop it were there one",
    ),
    ("wall.read-only", "scope: view* added", 4, "no policy permits it to a Read Only member"),
    (
        "wall.tenant-content",
        "== and MSP_ADMIN added at *",
        1,
        "all that an MSP Admin has of PSA on content is to see it, and on clients they do already",
    ),
    ("wall.tenant-content", "== and * added at *", 7, "the role has nothing of PSA"),
    (
        "wall.tenant-content",
        "psa without accessPsa at *",
        1,
        "it is about organizations, for which another wall stands",
    ),
    (
        "wall.tenant-content",
        "psa added at 0.||.right.&&.right.||.left.*",
        1,
        "an MSP Admin has nothing of PSA on content but to see it",
    ),
    (
        "wall.tenant-content",
        "viewPsa widened to psa at *",
        1,
        "an MSP Admin has nothing of PSA on content but to see it",
    ),
    (
        "wall.tenant-content",
        "* added at 0.||.right.&&.right.||.left.*",
        7,
        "on a client's content an MSP Admin has nothing of it: what everybody has is on projects, which have a wall",
    ),
    (
        "wall.tenant-content",
        "* added at 0.||.right.&&.right.||.right.*",
        7,
        "on a client's content a technician has nothing of it: what everybody has is on projects, which have a wall",
    ),
    ("wall.tenant-organization", "== and * added at *", 7, "the role does not enter PSA"),
    (
        "wall.tenant-organization",
        "* added at 0.&&.right.||.left.*",
        4,
        "on an organization an MSP Admin has nothing of it but what is named",
    ),
    (
        "wall.tenant-organization",
        "viewOrganization widened to organization at *",
        1,
        "the rest of it is for Owners and Admins",
    ),
    (
        "wall.tenant-organization",
        "* added at 0.&&.right.||.right.*",
        4,
        "on an organization an MSP Technician has nothing of it",
    ),
    ("team.not-oneself", "scope: * added", 45, "nobody can be the resource of it, or not their own"),
    ("team.owner-invitation", "scope: * added", 5, "on members it says what team.owner-access says"),
    ("team.owner-*", "== and * added at 0.&&.right.||.left", 30, "only Owners and Admins are permitted what it limits"),
    ("projects.view", "principal widened to all", 1, "guests have it from projects.guest"),
    ("*", "principal widened to all", 18, "the schema gives what is in its scope to no other kind of principal"),
    ("auditors.view-scope", "*", 9, "the schema gives auditors nothing else on controls and policies"),
    ("projects.guest", "*", 9, "the schema gives guests no other action"),
    ("*", "scope: viewOrganization added", 16, "every member has it from roles.view-organization"),
    ("*", "scope: viewProject added", 17, "every member has it from projects.view"),
    ("roles.read-only", "scope: *", 45, "Read Only members have it already, or wall.read-only stops it"),
    ("*", "scope: collaborate added", 11, "they have it from projects.collaborate, or wall.read-only stops it"),
    ("projects.collaborate", "!= and READ_ONLY added at 0", 1, "wall.read-only stops it"),
    ("projects.manage", "READ_ONLY added at *", 1, "wall.read-only stops it"),
    ("msp.create-client", "== and READ_ONLY added at 0", 1, "wall.read-only stops it"),
    (
        "*",
        "*READ_ONLY added at *",
        10,
        "they have the reading of it from roles.read-only, and wall.read-only stops the rest",
    ),
    (
        "msp.*assign-technician",
        "== always true at *",
        2,
        "the tenant wall lets only MSP Admins do it to a client, and the own organization is excluded",
    ),
    (
        "msp.*assign-technician",
        "== and * added at *",
        20,
        "the tenant wall lets only MSP Admins do it to a client, and the own organization is excluded",
    ),
    ("msp.assign-technician", "scope: unassignTechnician added", 1, "msp.unassign-technician permits more of it"),
    ("msp.create-client", "scope: * added", 3, "MSP Admins have it from msp.oversee"),
    ("msp.oversee", "scope: createClientOrganization added", 1, "MSP Admins have it from msp.create-client"),
    ("msp.*", "== and * added at 0", 4, "they have it from roles.run-psa and roles.run-compliance"),
    ("roles.run-psa", "MSP_TECHNICIAN added at *", 1, "they have it from msp.technician"),
    (
        "roles.manage-organization",
        "scope: organization without viewOrganization",
        1,
        "every member has it from roles.view-organization",
    ),
    ("roles.run-compliance", "scope: compliance without *", 2, "the condition takes it out too"),
    ("roles.run-compliance", "* added at 1.in.right", 7, "nothing of it is in the scope"),
    ("roles.read-only", "== and * added at 0", 3, "they have it from the policies of their roles"),
    ("roles.viewer", "== and * added at 0", 9, "they see compliance content by the policies of their roles"),
    ("roles.analyst", "== and MEMBER added at 0", 1, "they have it from roles.member"),
    ("roles.*", "*ADMIN added at *", 6, "they have it from roles.run-compliance"),
    ("roles.*", "*OWNER added at *", 3, "they have it from roles.run-compliance"),
    ("*", "scope: * added", 145, "Owners and Admins have it from another policy"),
];

/// Whether a pattern, with `*` for anything, is the text.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|tail| {
            tail.char_indices().map(|(at, _)| at).chain([tail.len()]).any(|at| fits(rest, &tail[at..]))
        }),
    }
}

/// Compares policy and name of the mutants that nothing noticed with those that are explained.
pub fn check(survivors: &BTreeSet<(String, String)>) {
    let mut explained = vec![Vec::new(); EQUIVALENT.len()];
    let mut wrong = Vec::new();
    for (policy, mutant) in survivors {
        match EQUIVALENT.iter().position(|(p, m, ..)| fits(p, policy) && fits(m, mutant)) {
            Some(at) => explained[at].push(format!("{policy}: {mutant}")),
            None => wrong.push(format!("nothing notices\t{policy}\t{mutant}")),
        }
    }
    for ((policy, mutant, count, reason), found) in EQUIVALENT.iter().zip(explained) {
        if found.len() != *count {
            let found = format!("{} where {count} are expected:\n  {}", found.len(), found.join("\n  "));
            wrong.push(format!("`{policy}`, `{mutant}` ({reason}) explains {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
