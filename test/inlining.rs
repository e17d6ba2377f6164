//! No vector operation is a function of its own in a program: each has become instructions inside a kernel. One that has not
//! is compiled apart from the loop that calls it, and every vector goes through memory: right results, many times slower.

use crate::draw::{option_list, planes, rows};
use crate::support::{Case, How, kernels, run, run_in_place, run_loss};
use object::{Object, ObjectSymbol};
use sparse_xent::{Element, bf16, f16};

/// Everything that a program could ask for, so that it is in this one.
fn use_all<E: Element>(case: &Case) {
    for kernel in kernels() {
        let how = How::with(kernel).with_outputs();
        run::<E, E>(case, how).expect(&case.name);
        run_in_place::<E>(case, how).expect(&case.name);
        run_loss::<E>(case, How::with(kernel)).expect(&case.name);
    }
}

/// The functions of a program that an operation or a conversion of `simd::x86` was compiled to: the mangled names end in that of the operation
/// and `inside`, or have a hash after it.
fn operations(program: &[u8]) -> Vec<String> {
    let file = object::File::parse(program).expect("a program");
    let names = file.symbols().filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    let ways = ["Lanes", "F16c", "Bf16Avx2"];
    names.filter(|name| ways.iter().any(|way| name.contains(way)) && name.contains("6inside")).collect()
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "there are no wide kernels")]
fn no_operation_is_a_function_of_its_own() {
    for case in [rows(3, 1.0, 1), rows(33, 1.0, 2), rows(130, 1.0, 3), planes(1, 5, 130, 1.0, 4)] {
        use_all::<f32>(&case);
        use_all::<f16>(&case);
        use_all::<bf16>(&case);
        for (_, set) in option_list() {
            let mut case = case.clone();
            set(&mut case);
            use_all::<f32>(&case);
        }
    }
    let program = std::fs::read(std::env::current_exe().expect("this program")).expect("this program");
    let (entries, others): (Vec<_>, Vec<_>) =
        operations(&program).into_iter().partition(|name| name.contains("5enter6inside"));
    assert!(entries.len() > 20, "kernels are entered, and this finds where: {entries:?}");
    assert!(others.is_empty(), "operations that were not inlined:\n{}", others.join("\n"));
}
