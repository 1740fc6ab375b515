/** Prepares the guest and gives the terminal to a shell. @module */
import { MESSAGE_PORT } from "../machine/command_line.ts";
import { GUEST_EXCHANGE } from "../machine/init_script.ts";
import { join } from "../path.ts";
import { shellEnvironment } from "./commands.ts";
import { HostPort } from "./port.ts";
import { PROGRAMS, setUp, vfioNode } from "./setup.ts";

const devices = await setUp(join(GUEST_EXCHANGE, "bin"));
const lines = await Promise.all(
  Object.values(devices).map(async ({ role, address, id, driver, about }) => {
    const node = driver === "vfio-pci" ? await vfioNode(address) : driver;
    return `  ${role.padEnd(10)} ${address} ${id}  ${node.padEnd(24)} ${about}`;
  }),
);
console.log(`\nLinux ${Deno.osRelease()}, the laboratory's machine:\n${lines.join("\n")}

The files are the host's; changes stay in the guest. Programs: ${PROGRAMS}
Leave with "exit" (or Ctrl-a x, should the guest hang).
`);
using port = new HostPort(MESSAGE_PORT);
const { code } = await new Deno.Command("/bin/sh", {
  args: ["-i"],
  stdin: "inherit",
  stdout: "inherit",
  stderr: "inherit",
  env: { PS1: "guest# ", ...shellEnvironment() },
}).spawn().status;
port.send({ kind: "done", ok: true, status: code });
