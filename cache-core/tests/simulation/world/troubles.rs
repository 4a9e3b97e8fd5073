//! What goes wrong while the processes run.

use std::rc::Rc;
use std::time::Duration;

use cache_core::testkit::meta::Room;

use super::World;
use super::actor::Actor;
use super::plot::{MILLI, Phase, SECOND, Trouble};

/// Longer than a request may take.
const FREEZE: Duration = Duration::from_millis(700);

/// Brings one trouble after the other, for as long as the phase lasts.
pub fn start(world: &Rc<World>, processes: Vec<Rc<Actor>>, phase: &'static Phase) {
    if world.plot.troubles.is_empty() {
        return;
    }
    let world = world.clone();
    world.executor.clone().spawn("trouble", async move {
        let mut processes = processes;
        while world.goes_on() {
            let pause = world.up_to(2 * world.plot.every);
            world.sleep(pause).await;
            let trouble = world.plot.troubles[world.below(world.plot.troubles.len())];
            world.monitor.trouble();
            bring(&world, trouble, &mut processes, phase).await;
            world.monitor.trouble();
        }
    });
}

async fn bring(world: &Rc<World>, trouble: Trouble, processes: &mut [Rc<Actor>], phase: &Phase) {
    let nodes = &world.nodes;
    let node = world.below(nodes.count());
    let chosen = world.below(processes.len());
    let actor = &processes[chosen];
    match trouble {
        Trouble::Restart => nodes.restart(node),
        Trouble::Freeze => {
            nodes.stop(node);
            let time = world.up_to(FREEZE);
            world.sleep(time).await;
            nodes.up(node);
        }
        Trouble::Down => {
            nodes.down(node);
            world.sleep(200 * MILLI).await;
            nodes.up(node);
        }
        Trouble::Cut => {
            let far = actor.far.clone();
            far.cut(node);
            world.sleep(300 * MILLI).await;
            far.mend(node);
        }
        Trouble::Flush => nodes.server(node).flush_all(),
        Trouble::Evict => {
            let number = world.below(1 << 20);
            nodes.server(node).evict_one(number);
        }
        Trouble::NoRoom => {
            nodes.server(node).set_room(Room::None);
            world.sleep(200 * MILLI).await;
            nodes.server(node).set_room(Room::Ample);
        }
        Trouble::Pause => stop(world, actor, world.up_to(SECOND)),
        Trouble::LongPause => stop(world, actor, 5 * SECOND),
        Trouble::Kill => {
            world.executor.kill(actor.number);
            processes[chosen] = world.start(phase);
        }
    }
}

fn stop(world: &World, actor: &Actor, time: Duration) {
    world.executor.stop(actor.number, time);
    world.monitor.stands_still(actor.number, time);
}
