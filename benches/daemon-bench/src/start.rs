use std::time::Duration;

use anyhow::Result;

use crate::{
    clock::pause,
    options::Options,
    sample::median,
    servers,
    table::{Row, Table},
    tasks::mib,
};

const STARTS: u32 = 20;

/// Time from the start of the process to readiness without a model, and memory when nothing happens.
pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<()> {
    let folder = options.folder.join("start");
    let (mut times_ms, mut idle_mib) = (Vec::new(), Vec::new());
    for number in 0..=STARTS {
        let address = servers::free_address()?;
        // An engine that nobody runs: attached pools are looked for in the background.
        let nobody = servers::free_address()?;
        let pool = format!("\n[pools.bench]\nengine = \"openai\"\nurl = \"http://{nobody}\"\n");
        let config = servers::daemon_config(&folder, address, &pool)?;
        let mut process = servers::spawn_daemon(options, &folder, &config)?;
        let time = servers::wait_ready(&mut process, address)?;
        // The first one makes the store.
        if number > 0 {
            times_ms.push(time.as_secs_f64() * 1e3);
        }
        if number % 10 == 0 {
            pause(Duration::from_secs(1));
            idle_mib.push(mib(process.rss_kib()?));
        }
    }
    let (time_ms, idle_mib) = (median(&times_ms), median(&idle_mib));
    println!("start: ready after {time_ms:.1} ms, {idle_mib:.1} MiB when idle");
    let time = Row::new("start to ready", "daemon", format!("{time_ms:.1} ms"));
    table.add(time.target("100 ms", time_ms <= 100.0));
    let memory = Row::new("memory when idle", "daemon", format!("{idle_mib:.1} MiB"));
    table.add(memory.target("40 MiB", idle_mib <= 40.0));
    Ok(())
}
