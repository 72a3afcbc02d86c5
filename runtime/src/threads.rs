//! How many threads one inference is best spread over.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::string::String;
use std::thread::available_parallelism;

/// Cores with less of the fastest core's capacity than this are left out: all parts have one size, so that a
/// slow core would make the others wait.
const LEAST_PERCENT: u64 = 70;
/// Capacity of a core for which the system gives none.
const CAPACITY: u64 = 1024;

/// The cores worth a thread: physical ones, of the fastest kind where there are kinds, and no more than
/// this process may use.
#[must_use]
pub fn performance_cores() -> usize {
    let allowed = available_parallelism().map_or(1, usize::from);
    match fast_cores(Path::new("/sys/devices")) {
        0 => allowed,
        cores => allowed.min(cores),
    }
}

/// Fast physical cores as Linux describes them under `devices`; 0 if it does not.
fn fast_cores(devices: &Path) -> usize {
    let read = |path: &Path| fs::read_to_string(path).ok();
    // Where cores are of two kinds, Intel's are listed apart.
    let fast_list = read(&devices.join("cpu_core/cpus"));
    let capacity = |cpu: usize, folder: &Path| {
        let given = read(&folder.join("cpu_capacity")).and_then(|text| text.trim().parse().ok());
        let of_list = fast_list.as_ref().map(|list| if contains(list, cpu) { CAPACITY } else { 1 });
        given.or(of_list).unwrap_or(CAPACITY)
    };
    let cpus = (0usize..).map_while(|cpu| {
        let folder = devices.join(std::format!("system/cpu/cpu{cpu}"));
        folder.is_dir().then_some((cpu, folder))
    });
    let cores: BTreeSet<(u64, String)> = cpus
        .filter_map(|(cpu, folder)| {
            let siblings = read(&folder.join("topology/thread_siblings_list"))?;
            Some((capacity(cpu, &folder), siblings))
        })
        .collect();
    let fastest = cores.last().map_or(0, |core| core.0);
    cores.iter().filter(|core| core.0 * 100 >= fastest * LEAST_PERCENT).count()
}

/// Whether a list such as `0-3,6` contains a number.
fn contains(list: &str, cpu: usize) -> bool {
    list.trim().split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse().is_ok_and(|first| cpu >= first) && last.parse().is_ok_and(|last| cpu <= last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::path::PathBuf;

    /// A tree of (siblings, capacity) a processor.
    fn tree(name: &str, cpus: &[(&str, Option<u64>)], fast_list: Option<&str>) -> PathBuf {
        let root =
            std::env::temp_dir().join(format!("fixnet-threads-{}-{name}", std::process::id()));
        for (cpu, (siblings, capacity)) in cpus.iter().enumerate() {
            let folder = root.join(format!("system/cpu/cpu{cpu}"));
            fs::create_dir_all(folder.join("topology")).unwrap();
            fs::write(folder.join("topology/thread_siblings_list"), siblings).unwrap();
            if let Some(capacity) = capacity {
                fs::write(folder.join("cpu_capacity"), format!("{capacity}\n")).unwrap();
            }
        }
        if let Some(list) = fast_list {
            fs::create_dir_all(root.join("cpu_core")).unwrap();
            fs::write(root.join("cpu_core/cpus"), list).unwrap();
        }
        root
    }

    fn count(name: &str, cpus: &[(&str, Option<u64>)], fast_list: Option<&str>) -> usize {
        let root = tree(name, cpus, fast_list);
        let cores = fast_cores(&root);
        fs::remove_dir_all(root).unwrap();
        cores
    }

    #[test]
    fn threads_of_one_core_count_once() {
        let cpus = [("0,2", None), ("1,3", None), ("0,2", None), ("1,3", None)];
        assert_eq!(count("smt", &cpus, None), 2);
    }

    #[test]
    fn slow_cores_do_not_count() {
        let big_little = [("0", Some(446)), ("1", Some(446)), ("2", Some(1024)), ("3", Some(1024))];
        assert_eq!(count("big-little", &big_little, None), 2);
        let hybrid = [("0-1", None), ("0-1", None), ("2", None), ("3", None)];
        assert_eq!(count("hybrid", &hybrid, Some("0-1\n")), 1);
    }

    #[test]
    fn a_system_that_says_nothing_leaves_it_to_what_is_allowed() {
        assert_eq!(fast_cores(Path::new("/nothing/here")), 0);
        let allowed = available_parallelism().map_or(1, usize::from);
        assert!((1..=allowed).contains(&performance_cores()));
    }
}
