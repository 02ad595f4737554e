//! What runners print, as they printed it.

use super::*;

#[track_caller]
fn check(form: &str, printed: &str, passed: &[&str], failed: &[&str]) {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let wanted = Results {
        passed: set(passed),
        failed: set(failed),
    };
    assert_eq!(Form::named(form).unwrap().read(printed), wanted);
}

#[test]
fn pytest() {
    let printed = "\
tests/test_a.py ..F.                                                     [100%]
ERROR    aiormq.connection:connection.py:447 Unexpected connection close
=========================== short test summary info ============================
PASSED tests/test_a.py::test_one[amqp]
PASSED tests/test_a.py::TestTwo::test_two
PASSED tests/test_a.py::test_left_behind
FAILED tests/test_a.py::test_three - AssertionError: assert 1 == 2
ERROR tests/test_a.py::test_left_behind - Exception: at its end
ERROR tests/test_b.py
3 passed, 1 failed, 1 error in 0.12s
";
    let passed = [
        "tests/test_a.py::TestTwo::test_two",
        "tests/test_a.py::test_one[amqp]",
    ];
    let failed = [
        "tests/test_a.py::test_left_behind",
        "tests/test_a.py::test_three",
    ];
    check("pytest", printed, &passed, &failed);
}

#[test]
fn go() {
    let printed = r#"{"Action":"run","Package":"p","Test":"TestOne"}
{"Action":"output","Package":"p","Test":"TestOne","Output":"--- PASS: TestOne (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestOne","Elapsed":0}
{"Action":"fail","Package":"p","Test":"TestTwo/part","Elapsed":0.1}
{"Action":"skip","Package":"p","Test":"TestThree","Elapsed":0}
{"Action":"fail","Package":"p","Elapsed":0.2}
exit status 1
"#;
    check("go", printed, &["TestOne"], &["TestTwo/part"]);
}

#[test]
fn libtest() {
    let printed = "\
     Running unittests src/lib.rs (target/debug/deps/lapin-0c85b28b0dd2fb88)

running 2 tests
test channel::tests::one ... ok
test channel::tests::two ... ignored

     Running tests/connection.rs (target/debug/deps/connection-1f6d9c2b9a)
test connection ... ok
test channel::tests::one ... FAILED
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.05s
";
    let passed = [
        "src/lib.rs::channel::tests::one",
        "tests/connection.rs::connection",
    ];
    check(
        "libtest",
        printed,
        &passed,
        &["tests/connection.rs::channel::tests::one"],
    );
}

#[test]
fn verdicts() {
    let printed = "✓ OK » 3 honored\n  passed: test/a-test.js\nfailed: test/b-test.js\n";
    check(
        "verdicts",
        printed,
        &["test/a-test.js"],
        &["test/b-test.js"],
    );
}
