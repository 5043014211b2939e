//! Servers that nobody hears any more, though their connections stay: packets are dropped.

use std::time::{Duration, Instant};

use crate::servers::ports;
use crate::submitter::{ended, submit, wait_until_begun};
use crate::ways::Way;
use crate::world::{Extra, PATIENCE, Who, World};

#[test]
fn whoever_is_at_a_server_that_hangs_goes_to_another_one() {
    let mut world = World::new(1, &["default"]);
    let ways = [0, 1].map(|_| Way::to(world.servers.port()));
    let urls = [&ways[0], &ways[1]].map(|way| format!("nats://127.0.0.1:{}", way.port));
    let extra = Extra {
        urls: Some(&urls),
        ..Extra::default()
    };
    world.start("a", &extra);
    submit(&mut world, &extra, &["--wait"], &["long-1", "hang-2"]);
    wait_until_begun(&world, "long-1");
    wait_until_begun(&world, "hang-2");
    // Whichever they have come by is cut, and to connect to that one again is of no use.
    for way in [0, 1] {
        ways[way].cut(true);
        let id = format!("later-{way}");
        world.submit("default", &[&id]);
        assert_eq!(world.result(&id)["machine"]["id"], "a");
        ways[way].cut(false);
    }
    let config = world.config("asker", &Extra::default());
    world.told(&config, &["cancel", "hang-2"]);
    assert_eq!(ended(&mut world, PATIENCE), 1, "{}", world.log("a"));
    world.wait_until_empty();
    assert_eq!(world.messages("ISO_RESULTS"), 4);
}

#[test]
fn a_server_that_is_cut_off_from_the_others_keeps_nobody() {
    // The servers speak to each other by ways of ours alone.
    let routes = ports(3);
    let ways: Vec<Vec<Way>> = (0..3)
        .map(|_| routes.iter().map(|route| Way::to(*route)).collect())
        .collect();
    let urls = |from: usize| -> Vec<String> {
        let others = (0..3).filter(|to| *to != from);
        others
            .map(|to| format!("nats://127.0.0.1:{}", ways[from][to].port))
            .collect()
    };
    let clusters = [0, 1, 2].map(|index| {
        format!(
            "cluster {{ name: c, listen: \"127.0.0.1:{}\", advertise: \"127.0.0.1:1\", routes: {:?} }}\n",
            routes[index],
            urls(index)
        )
    });
    let more = move |index: usize| clusters[index].clone();
    let mut world = World::bare(3, |_| (Who::default(), Box::new(more)));
    world.set_up(&["default"], "");
    // They begin at the one that is cut off.
    let first = [world.servers.urls()[0].clone()];
    let extra = Extra {
        urls: Some(&first),
        ..Extra::default()
    };
    world.start("a", &extra);
    submit(&mut world, &extra, &["--wait"], &["long-1", "slow-2"]);
    wait_until_begun(&world, "long-1");
    let cut = |is_cut| {
        for other in [1, 2] {
            ways[0][other].cut(is_cut);
            ways[other][0].cut(is_cut);
        }
    };
    cut(true);
    let rest = world.servers.urls()[1..].to_vec();
    let config = world.config(
        "elsewhere",
        &Extra {
            urls: Some(&rest),
            ..Extra::default()
        },
    );
    let file = world.jobs("later.jsonl", ["later-3".to_owned()]);
    let told = world.judged(&config, "default", &file);
    assert!(told.contains("\"done\""), "{told}");
    assert_eq!(ended(&mut world, PATIENCE), 0, "{}", world.log("a"));
    cut(false);
    world.wait_until_empty();
    // The server that was cut off has to hear of them first.
    let end = Instant::now() + PATIENCE;
    while world.messages("ISO_RESULTS") != 3 {
        assert!(Instant::now() < end, "{:?}", world.results());
        std::thread::sleep(Duration::from_millis(100));
    }
}
