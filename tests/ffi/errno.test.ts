import "../../ffi/preload.ts";
import { deepEqual, equal, throws } from "node:assert/strict";
import { checked, ERRNO, errnoName, kernelError, reissued, withErrno } from "../../ffi/errno.ts";
import { KernelError } from "../../engine/kernel_error.ts";
import { stress } from "./errno_stress.ts";

Deno.test("errnoName knows Linux's names, and has an answer for the rest", () => {
  equal(errnoName(1), "EPERM");
  equal(errnoName(11), "EAGAIN");
  equal(errnoName(95), "EOPNOTSUPP");
  equal(errnoName(133), "EHWPOISON");
  equal(errnoName(41), "E41");
  equal(Object.keys(ERRNO).length, 131);
});

Deno.test("withErrno answers -errno for -1 only, for every arity", () => {
  const errno = new Int32Array([ERRNO.ENODEV]);
  for (let arity = 0; arity <= 6; arity++) {
    const seen: unknown[][] = [];
    const answers: unknown[] = [-1, 0, 7, -2, 5n, null];
    const call = withErrno((...args) => (seen.push(args), answers.shift()), arity, errno);
    const args = Array.from({ length: arity }, (_, index) => index);
    deepEqual(Array.from({ length: 6 }, () => call(...args)), [-19, 0, 7, -2, 5n, null]);
    deepEqual(seen[0], args);
  }
});

Deno.test("withErrno refuses more arguments than it has a wrapper for", () => {
  throws(() => withErrno(() => 0, 7, new Int32Array(1)), RangeError);
});

Deno.test("reissued makes a call again on EAGAIN and EINTR, and on nothing else", () => {
  const answering = (...answers: number[]) => reissued(() => answers.shift() ?? NaN);
  equal(answering(-ERRNO.EAGAIN, -ERRNO.EINTR, -ERRNO.ENODEV), -ERRNO.ENODEV);
  equal(answering(-ERRNO.EAGAIN, 3), 3);
  equal(answering(-ERRNO.EBUSY, 3), -ERRNO.EBUSY);
  equal(answering(0), 0);
});

Deno.test("reissued believes an EAGAIN that stays", () => {
  let calls = 0;
  equal(reissued(() => (calls++, -ERRNO.EAGAIN)), -ERRNO.EAGAIN);
  equal(calls, 9);
});

Deno.test("checked passes results on and throws what the kernel said", () => {
  equal(checked("open", "/x", 0), 0);
  equal(checked("open", "/x", 12), 12);
  throws(() => checked("open", "/x", -ERRNO.ENOENT), (error) => {
    deepEqual(error, kernelError("open", -ERRNO.ENOENT, "/x"));
    return error instanceof KernelError && error.message === "open on /x failed: ENOENT";
  });
});

Deno.test("errno is the failing call's own, a million times", () => {
  deepEqual(stress(1_000_000), []);
});

Deno.test("errno is the failing call's own while V8 deoptimises all the time", async () => {
  const { stdout, stderr, code } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-check",
      "--quiet",
      "--allow-ffi",
      "--v8-flags=--deopt-every-n-times=5",
      new URL("./errno_stress.ts", import.meta.url).pathname,
      "100000",
    ],
  }).output();
  equal(new TextDecoder().decode(stderr), "");
  equal(new TextDecoder().decode(stdout), "[]\n");
  equal(code, 0);
});
