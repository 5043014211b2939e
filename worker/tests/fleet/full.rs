//! Servers that have no room for what they are to store.

use std::time::Instant;

use crate::submitter::{ended, submit};
use crate::world::{Extra, PATIENCE, World};

#[test]
fn a_server_without_room_costs_no_job_and_is_well_again_with_room() {
    let mut world = World::on_disks("48m");
    // Whoever starts just when a server gives up ends, and systemd would start it again.
    for id in ["a", "b"] {
        world.start(id, &Extra::default());
        world.wait_for_log(id, "takes jobs");
    }
    let judge = |world: &mut World, name: &str| {
        let ids: Vec<String> = (0..40)
            .map(|number| format!("slow-{name}-{number}"))
            .collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        submit(world, &Extra::default(), &["--wait"], &ids);
        assert_eq!(ended(world, PATIENCE), 0, "{}", world.log("a"));
    };
    // Whoever decides about the jobs.
    let server = world.leader("ISO_JOBS_default");
    world.servers.disks[server].fill();
    judge(&mut world, "full");
    // It must really have been full, or nothing is shown.
    let end = Instant::now() + PATIENCE;
    while !world
        .servers
        .log(server)
        .contains("no space left on device")
    {
        assert!(Instant::now() < end, "{}", world.servers.log(server));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    world.servers.disks[server].free();
    world.servers.kill(server);
    world.servers.begin(server);
    judge(&mut world, "roomy");
    world.leader("ISO_JOBS_default");
    world.wait_until_empty();
    assert_eq!(world.messages("ISO_RESULTS"), 80);
}
