import assert from "node:assert/strict";
import { debianMirror, newestPackage, packageFacts } from "../../lab/kernel/apt_source.ts";
import { LabError } from "../../lab/lab_error.ts";

Deno.test("newestPackage() compares versions as numbers and skips other packages", () => {
  const names = "linux-source-7.9\nlinux-source\nlinux-source-7.10\nlinux-source-6.18-rt\n";
  assert.equal(newestPackage(names), "linux-source-7.10");
  assert.equal(newestPackage("linux-source\n"), undefined);
});

Deno.test("packageFacts() reads version, hash and size", () => {
  const shown =
    "Package: linux-source-7.3\nVersion: 7.3.4-1~bpo13+1\nSize: 166780612\nSHA256: ab\n";
  assert.deepEqual(packageFacts(shown), {
    version: "7.3.4-1~bpo13+1",
    bytes: 166780612,
    sha256: "ab",
  });
});

Deno.test("packageFacts() refuses a package without a hash", () => {
  assert.throws(() => packageFacts("Version: 1\nSize: 2\n"), LabError);
});

Deno.test("debianMirror() takes the release, not its updates, security or others' archives", () => {
  const targets = `https://a.example/node nodistro nodistro main
https://m.example/debian-security bookworm-security Debian main
https://m.example/debian bookworm-updates Debian main
https://m.example/debian bookworm Debian main
`;
  assert.equal(debianMirror(targets), "https://m.example/debian");
  assert.equal(debianMirror(""), undefined);
});
