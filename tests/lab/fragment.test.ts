import assert from "node:assert/strict";
import { lostOptions, parseOptions } from "../../lab/kernel/fragment.ts";

Deno.test("parseOptions() reads values, strings and what is not set, and skips comments", () => {
  const text = `# a comment
CONFIG_PCI=y
CONFIG_NR_CPUS=8
CONFIG_CMDLINE="a=b c"
# CONFIG_NET is not set
`;
  assert.deepEqual([...parseOptions(text)], [
    ["CONFIG_PCI", "y"],
    ["CONFIG_NR_CPUS", "8"],
    ["CONFIG_CMDLINE", '"a=b c"'],
    ["CONFIG_NET", "n"],
  ]);
});

Deno.test("lostOptions() names what the kernel did not take", () => {
  const fragment = parseOptions(
    "CONFIG_PCI=y\nCONFIG_IOMMUFD=y\nCONFIG_GONE=y\nCONFIG_NR_CPUS=8\n",
  );
  const config = parseOptions("CONFIG_PCI=y\n# CONFIG_IOMMUFD is not set\nCONFIG_NR_CPUS=64\n");
  assert.deepEqual(lostOptions(fragment, config), [
    { option: "CONFIG_IOMMUFD", wanted: "y", got: "n" },
    { option: "CONFIG_GONE", wanted: "y", got: undefined },
    { option: "CONFIG_NR_CPUS", wanted: "8", got: "64" },
  ]);
});

Deno.test("lostOptions() takes an unknown option for one that is off", () => {
  assert.deepEqual(lostOptions(parseOptions("# CONFIG_X is not set\n"), parseOptions("")), []);
});

Deno.test("the fragment asks for no option twice", async () => {
  const url = new URL("../../lab/kernel/config.fragment", import.meta.url);
  const lines = (await Deno.readTextFile(url)).split("\n")
    .filter((line) => line.startsWith("CONFIG_"));
  assert.equal(parseOptions(lines.join("\n")).size, lines.length);
});
