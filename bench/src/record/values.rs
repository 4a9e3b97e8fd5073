//! The values: one of a database's rows, a page of text, a list as a cloud's API returns it, and what a workspace is
//! built from. All but the last are the same in every run.

use serde::{Deserialize, Serialize};

use super::crate_graph::CrateGraph;
use crate::load::Random;

/// A row: about 230 bytes.
#[derive(Serialize, Deserialize)]
pub struct User {
    id: u64,
    name: String,
    address: String,
    is_active: bool,
    logins: u32,
    created: i64,
    bio: Option<String>,
    roles: Vec<String>,
}

pub fn user() -> User {
    User {
        id: 4_711_000_815,
        name: "Ada Augusta Byron King".to_owned(),
        address: "ada.lovelace@analytical-engines.example.org".to_owned(),
        is_active: true,
        logins: 1843,
        created: 1_700_000_000,
        bio: Some(
            "Wrote the first program for a machine that was never built, with notes longer than the paper.".to_owned(),
        ),
        roles: ["author", "reviewer", "billing:read", "images:write"].map(str::to_owned).into(),
    }
}

/// Words as prose has them, 4 KiB.
pub fn page() -> String {
    const WORDS: &[&str] = &[
        "the",
        "of",
        "cache",
        "and",
        "a",
        "region",
        "to",
        "in",
        "value",
        "is",
        "key",
        "that",
        "for",
        "server",
        "it",
        "was",
        "record",
        "on",
        "with",
        "load",
        "as",
        "invalidation",
        "by",
        "generation",
        "not",
        "memory",
        "which",
        "process",
        "caller",
        "asked",
        "again",
        "nobody",
    ];
    let mut random = Random::new(1);
    let mut text = String::new();
    while text.len() < 4096 {
        text.push_str(WORDS[random.below(WORDS.len() as u64) as usize]);
        text.push(' ');
    }
    text.truncate(4096);
    text
}

/// A machine image, as EC2's `DescribeImages` tells of it.
#[derive(Serialize, Deserialize)]
pub struct Image {
    image_id: String,
    name: String,
    description: Option<String>,
    owner_id: String,
    image_location: String,
    creation_date: String,
    deprecation_time: Option<String>,
    architecture: String,
    state: String,
    is_public: bool,
    image_type: String,
    kernel_id: Option<String>,
    platform_details: String,
    usage_operation: String,
    block_device_mappings: Vec<BlockDeviceMapping>,
    ena_support: bool,
    hypervisor: String,
    root_device_name: String,
    root_device_type: String,
    sriov_net_support: Option<String>,
    virtualization_type: String,
    boot_mode: Option<String>,
    tags: Vec<Tag>,
}

#[derive(Serialize, Deserialize)]
struct BlockDeviceMapping {
    device_name: String,
    virtual_name: Option<String>,
    ebs: Option<Ebs>,
}

#[derive(Serialize, Deserialize)]
struct Ebs {
    snapshot_id: String,
    volume_size: u32,
    volume_type: String,
    iops: Option<u32>,
    throughput: Option<u32>,
    is_encrypted: bool,
    delete_on_termination: bool,
    kms_key_id: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Tag {
    key: String,
    value: String,
}

/// So many that bincode makes about 3 MB of them.
pub fn images() -> Vec<Image> {
    let mut random = Random::new(2);
    (0..6_000).map(|_| image(&mut random)).collect()
}

fn image(random: &mut Random) -> Image {
    let account = |random: &mut Random| format!("{:012}", 100_000_000_000 + random.below(40) * 7_919_000_003);
    let architecture = one_of(random, &["x86_64", "x86_64", "arm64"]);
    let system = one_of(
        random,
        &["ubuntu-jammy-22.04", "ubuntu-noble-24.04", "amzn2-ami-hvm-2.0", "al2023-ami-2023.5", "debian-12"],
    );
    let date = format!(
        "20{}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z",
        20 + random.below(6),
        1 + random.below(12),
        1 + random.below(28),
        random.below(24),
        random.below(60),
        random.below(60)
    );
    let owner_id = account(random);
    let name = format!("{system}-{architecture}-server-{}{}", date[..10].replace('-', ""), random.below(10));
    Image {
        image_id: format!("ami-{}", hex(random, 17)),
        image_location: format!("{owner_id}/{name}"),
        description: (random.below(4) > 0)
            .then(|| format!("Canonical image of {system} for {architecture}, build of {}", &date[..10])),
        name,
        owner_id,
        deprecation_time: (random.below(2) == 0).then(|| date.replacen("202", "203", 1)),
        creation_date: date,
        architecture: architecture.to_owned(),
        state: "available".to_owned(),
        is_public: random.below(5) > 0,
        image_type: "machine".to_owned(),
        kernel_id: None,
        platform_details: "Linux/UNIX".to_owned(),
        usage_operation: "RunInstances".to_owned(),
        block_device_mappings: (0..1 + random.below(3)).map(|n| device(random, n)).collect(),
        ena_support: true,
        hypervisor: "xen".to_owned(),
        root_device_name: "/dev/sda1".to_owned(),
        root_device_type: "ebs".to_owned(),
        sriov_net_support: Some("simple".to_owned()),
        virtualization_type: "hvm".to_owned(),
        boot_mode: (random.below(2) == 0).then(|| "uefi-preferred".to_owned()),
        tags: tags(random),
    }
}

fn device(random: &mut Random, n: u64) -> BlockDeviceMapping {
    let ebs = Ebs {
        snapshot_id: format!("snap-{}", hex(random, 17)),
        volume_size: 8 << random.below(5),
        volume_type: one_of(random, &["gp2", "gp3", "io1"]).to_owned(),
        iops: Some(3000),
        throughput: (random.below(2) == 0).then_some(125),
        is_encrypted: random.below(3) == 0,
        delete_on_termination: true,
        kms_key_id: None,
    };
    let is_ephemeral = n == 2;
    BlockDeviceMapping {
        device_name: if n == 0 {
            "/dev/sda1".to_owned()
        } else {
            format!("/dev/sd{}", one_of(random, &["b", "c", "f"]))
        },
        virtual_name: is_ephemeral.then(|| "ephemeral0".to_owned()),
        ebs: (!is_ephemeral).then_some(ebs),
    }
}

fn tags(random: &mut Random) -> Vec<Tag> {
    let build = hex(random, 40);
    let number = random.below(100_000).to_string();
    let tags = [
        ("Name", one_of(random, &["web", "worker", "database", "bastion", "build"])),
        ("team", one_of(random, &["platform", "payments", "search", "identity"])),
        ("environment", one_of(random, &["production", "staging", "development"])),
        ("source-commit", &build),
        ("build-number", &number),
        ("managed-by", "packer"),
    ];
    let tag = |(key, value): &(&str, &str)| Tag { key: (*key).to_owned(), value: (*value).to_owned() };
    tags[..3 + random.below(4) as usize].iter().map(tag).collect()
}

fn one_of<'a>(random: &mut Random, words: &[&'a str]) -> &'a str {
    words[random.below(words.len() as u64) as usize]
}

fn hex(random: &mut Random, digits: usize) -> String {
    let mut text = String::new();
    while text.len() < digits {
        text.push_str(&format!("{:016x}", random.next()));
    }
    text.truncate(digits);
    text
}

/// What cargo knows of the workspace, its crates and which needs which, as the quickstart has it.
pub fn crate_graph() -> CrateGraph {
    CrateGraph::of(concat!(env!("CARGO_MANIFEST_DIR"), "/.."), true).expect("cargo is there")
}
