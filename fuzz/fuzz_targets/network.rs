//! Networks of any geometry, portable and packed for this machine: the same bytes everywhere.

#![no_main]

use fixnet::format::{self, Target};
use fixnet::{KernelSet, Model};
use fixnet_fuzz::{Choices, everywhere, network};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let spec = network::network(&mut choices);
    let file = format::write(&spec).expect("a consistent network");
    let model = Model::new_checked(&file).expect("what the writer checked");
    let input = choices.byte().into();
    let want = everywhere::check(&model, input, &mut choices);
    for target in Target::ALL {
        let Some(packed) = network::packed(&spec, target, &mut choices) else { continue };
        let file = format::write(&packed).expect("a packed network");
        let model = Model::new_checked(&file).expect("what the writer checked");
        let portable = format::unpack(&model).expect("weights that were packed");
        let back = Model::new_checked(&portable).expect("a portable file");
        assert_eq!(back.weight_bytes(), spec_bytes(&spec), "unpacked from {}", target.name());
        if KernelSet::available().any(|set| set.family().runs(target)) {
            let got = everywhere::check(&model, input, &mut choices);
            assert_eq!(got, want, "packed for {}", target.name());
        }
    }
});

fn spec_bytes(spec: &format::ModelSpec) -> usize {
    spec.steps.iter().map(|step| step.weights.len() + 8 * step.bias.len()).sum()
}
