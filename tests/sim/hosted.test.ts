/** The cases of a simulated host over the real kernel. @module */
import { runCases } from "../support/run_cases.ts";

Deno.test("simulated devices have real descriptors: hosted_cases.ts", async () => {
  await runCases(new URL("./hosted_cases.ts", import.meta.url));
});

Deno.test("HostedKernel conforms: hosted_conformance.ts", async () => {
  await runCases(new URL("./hosted_conformance.ts", import.meta.url));
});

Deno.test("example policies on simulated example hosts: example_cases.ts", async () => {
  await runCases(new URL("./example_cases.ts", import.meta.url));
});
