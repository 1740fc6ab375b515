/**
 * Random histories, made on the simulation and on a real kernel side by side and compared step by
 * step: what each call answers, and what can be seen afterwards.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { DmaRange, Lane } from "../engine/kernel.ts";
import { KernelError } from "../engine/kernel_error.ts";
import { Bench, BUS_MASTER, COMMAND, CONFIG, MEMORY, PAGE } from "./bench.ts";
import type { Role, World } from "./world.ts";

/** Devices that take part: two of their own, and two functions of one IOMMU group and one bus. */
export const PLAYERS = ["memory", "memory2", "pair0", "pair1"] as const satisfies readonly Role[];

/**
 * A step. Numbers choose among what there is at that moment, modulo how many there are; a step that
 * finds nothing to be done to does nothing, on both sides.
 */
export type Step =
  | { readonly do: "open" | "openGroup"; readonly player: number }
  | { readonly do: "iommufd" | "eventFd" }
  | { readonly do: "container" }
  | { readonly do: "bind"; readonly device: number; readonly to: number }
  | { readonly do: "setContainer"; readonly group: number; readonly to: number }
  | { readonly do: "setIommu"; readonly file: number }
  | { readonly do: "groupDevice"; readonly group: number; readonly player: number }
  | { readonly do: "duplicate" | "close"; readonly file: number }
  | {
    readonly do: "export";
    readonly device: number;
    readonly bar: number;
    readonly ranges: readonly DmaRange[];
  }
  | {
    readonly do: "reset" | "hotReset" | "enterLowPower" | "exitLowPower";
    readonly device: number;
  }
  | { readonly do: "hotResetByGroup"; readonly device: number; readonly group: number }
  | { readonly do: "sysfsReset"; readonly player: number }
  | { readonly do: "outsideCommand"; readonly player: number; readonly value: number }
  | { readonly do: "command"; readonly device: number; readonly value: number }
  | { readonly do: "power"; readonly device: number; readonly state: number }
  | { readonly do: "functionReset"; readonly device: number }
  | { readonly do: "allocate"; readonly iommufd: number }
  | { readonly do: "compatible"; readonly space: number; readonly id?: number }
  | { readonly do: "destroy"; readonly iommufd: number; readonly id: number }
  | { readonly do: "attach"; readonly device: number; readonly space: number; readonly id?: number }
  | {
    readonly do: "map";
    readonly space: number;
    /** Instead of the address space's own. */
    readonly id?: number;
    readonly file: number;
    readonly start: bigint;
    readonly length: bigint;
    readonly iova?: bigint;
    readonly writeable: boolean;
  }
  | {
    readonly do: "copy";
    readonly area: number;
    readonly to: number;
    /** Instead of the area's own. */
    readonly iova?: bigint;
    readonly length?: bigint;
  }
  | {
    readonly do: "unmap";
    readonly area: number;
    readonly iova?: bigint;
    readonly length?: bigint;
  }
  | { readonly do: "dma"; readonly area: number }
  | { readonly do: "arm"; readonly device: number; readonly file: number };

/** Kinds of files that a step can choose among. */
type Kind = "device" | "group" | "container" | "iommufd" | "eventfd" | "buffer";

interface File {
  readonly fd: Fd;
  readonly kind: Kind;
  /** Of a device, a group or a buffer. */
  readonly player?: number;
  /** Of a buffer: where in its BAR it begins. */
  readonly offset?: bigint;
}

/** An address space that was made; it may have gone. */
interface Space {
  readonly iommufd: File;
  readonly id: number;
}

/** What was mapped; it may have gone. */
interface Area extends Space {
  readonly iova: bigint;
  readonly length: bigint;
  /** The memory at its beginning; absent: it is none of ours. */
  readonly into?: { readonly player: number; readonly offset: bigint };
}

/** The engine reaches no further, and moves so much. */
const REACH = 1n << 28n;
const DMA_BYTES = 16n;

/** One side's history. */
export class History {
  readonly #files: File[] = [];
  readonly #spaces: Space[] = [];
  readonly #areas: Area[] = [];
  readonly #bench: Bench;
  readonly #lane: Lane;

  constructor(world: World) {
    this.#bench = new Bench(world);
    this.#lane = world.lane;
  }

  /** Makes a step. @returns what it answers, and what is to be seen: equal on both sides */
  async take(step: Step): Promise<string> {
    const answer = await this.#answer(step);
    return `${answer} | ${await this.#seen()}`;
  }

  /** Closes everything. */
  async end(): Promise<void> {
    for (const { fd } of this.#files.splice(0).reverse()) await this.#lane.close(fd);
    await this.#bench.close();
  }

  async #answer(step: Step): Promise<string> {
    try {
      return String(await this.#make(step));
    } catch (error) {
      if (error instanceof KernelError) return error.errnoName;
      throw error;
    }
  }

  #pick(index: number, ...kinds: readonly Kind[]): File | undefined {
    const among = this.#files.filter(({ kind }) => kinds.length === 0 || kinds.includes(kind));
    return among[index % among.length];
  }

  #space(index: number): Space | undefined {
    const spaces = this.#spaces.filter(({ iommufd }) => this.#files.includes(iommufd));
    return spaces[index % spaces.length];
  }

  #area(index: number): Area | undefined {
    const areas = this.#areas.filter(({ iommufd }) => this.#files.includes(iommufd));
    return areas[index % areas.length];
  }

  #keep(kind: Kind, fd: Fd, more: Pick<File, "player" | "offset"> = {}): string {
    this.#files.push({ kind, fd, ...more });
    return kind;
  }

  #player(index: number): Role {
    return PLAYERS[index % PLAYERS.length] ?? PLAYERS[0];
  }

  async #make(step: Step): Promise<unknown> {
    const { kernel, outside } = this.#bench;
    const lane = this.#lane;
    const nothing = "nothing to be done";
    switch (step.do) {
      case "open":
      case "openGroup": {
        const { node, group } = await this.#bench.device(this.#player(step.player));
        const isGroup = step.do === "openGroup";
        const fd = await lane.openShared(isGroup ? group : node);
        const player = step.player % PLAYERS.length;
        return this.#keep(isGroup ? "group" : "device", fd, { player });
      }
      case "container":
        return this.#keep("container", await lane.openShared("/dev/vfio/vfio"));
      case "iommufd":
        return this.#keep("iommufd", kernel.openIommufd());
      case "eventFd":
        return this.#keep("eventfd", kernel.eventFd("step"));
      case "bind": {
        const device = this.#pick(step.device, "device");
        const to = this.#pick(step.to, "iommufd", "eventfd");
        return device && to ? await lane.bindIommufd(device.fd, to.fd) : nothing;
      }
      case "setContainer": {
        const group = this.#pick(step.group, "group");
        const to = this.#pick(step.to, "container", "iommufd", "eventfd");
        return group && to ? await lane.setContainer(group.fd, to.fd) : nothing;
      }
      case "setIommu": {
        const file = this.#pick(step.file, "container");
        return file ? await lane.setType1Iommu(file.fd) : nothing;
      }
      case "groupDevice": {
        const group = this.#pick(step.group, "group");
        if (group === undefined) return nothing;
        const { address } = await this.#bench.device(this.#player(step.player));
        const fd = await lane.groupDevice(group.fd, address);
        return this.#keep("device", fd, { player: step.player % PLAYERS.length });
      }
      case "duplicate": {
        const file = this.#pick(step.file, "device", "buffer", "iommufd");
        if (file === undefined || file.fd.table !== undefined) return nothing;
        const self = kernel.openProcess(kernel.pid);
        const fd = kernel.borrow(self, file.fd.number, "copy");
        kernel.close(self);
        const { kind, fd: _, ...more } = file;
        return this.#keep(kind, fd, more);
      }
      case "close": {
        const file = this.#pick(step.file);
        if (file === undefined) return nothing;
        this.#files.splice(this.#files.indexOf(file), 1);
        return await lane.close(file.fd);
      }
      case "export": {
        const device = this.#pick(step.device, "device");
        if (device === undefined) return nothing;
        const buffer = await lane.exportDmaBuf(device.fd, step.bar, step.ranges);
        const { player = 0 } = device;
        const offset = step.bar === 2 ? step.ranges[0]?.offset : undefined;
        return this.#keep("buffer", buffer, { player, ...(offset !== undefined && { offset }) });
      }
      case "hotResetByGroup": {
        const device = this.#pick(step.device, "device");
        const group = this.#pick(step.group, "group");
        return device && group ? await lane.hotReset(device.fd, [group.fd]) : nothing;
      }
      case "sysfsReset":
        return await outside.reset((await this.#bench.device(this.#player(step.player))).address);
      case "outsideCommand": {
        const { address } = await this.#bench.device(this.#player(step.player));
        return await outside.writeConfig(address, Number(COMMAND), Uint8Array.of(step.value, 0));
      }
      case "allocate": {
        const iommufd = this.#pick(step.iommufd, "iommufd");
        if (iommufd === undefined) return nothing;
        const id = await lane.ioasAlloc(iommufd.fd);
        this.#spaces.push({ iommufd, id });
        return id;
      }
      case "compatible": {
        const space = this.#space(step.space);
        return space
          ? await lane.setCompatibleIoas(space.iommufd.fd, step.id ?? space.id)
          : nothing;
      }
      case "destroy": {
        const file = this.#pick(step.iommufd, "iommufd");
        return file ? await lane.iommuDestroy(file.fd, step.id) : nothing;
      }
      case "map":
        return await this.#map(step) ?? nothing;
      case "copy": {
        const [area, to] = [this.#area(step.area), this.#space(step.to)];
        if (area === undefined || to === undefined) return nothing;
        const { fd } = area.iommufd;
        const [from, length] = [step.iova ?? area.iova, step.length ?? area.length];
        const iova = await lane.ioasCopy(fd, to.id, area.id, from, length);
        const { iommufd, into } = area;
        const copied = into === undefined || from !== area.iova ? {} : { into };
        this.#areas.push({ iommufd, id: to.id, iova, length, ...copied });
        return iova;
      }
      case "unmap": {
        const area = this.#area(step.area);
        if (area === undefined) return nothing;
        const { iova = area.iova, length = area.length } = step;
        return await lane.ioasUnmap(area.iommufd.fd, area.id, iova, length);
      }
      case "dma": {
        const area = this.#area(step.area);
        return area?.into ? await this.#dma(area, area.into) : nothing;
      }
      case "arm": {
        const device = this.#pick(step.device, "device");
        const file = this.#pick(step.file, "eventfd", "iommufd");
        return device && file ? await lane.armInterrupt(device.fd, "request", file.fd) : nothing;
      }
      default:
        return await this.#toDevice(step);
    }
  }

  async #map(step: Extract<Step, { do: "map" }>): Promise<bigint | undefined> {
    const space = this.#space(step.space);
    const file = this.#pick(step.file, "buffer", "eventfd");
    if (space === undefined || file === undefined) return undefined;
    const { iommufd, id = space.id } = { ...space, ...(step.id !== undefined && { id: step.id }) };
    const { start, length, writeable, iova } = step;
    const place = iova === undefined ? {} : { iova };
    const request = { ioas: id, start, length, writeable, ...place };
    const at = await this.#lane.ioasMapFile({ iommufd: iommufd.fd, dmaBuf: file.fd, ...request });
    const { player = 0, offset } = file;
    const into = offset === undefined ? {} : { into: { player, offset: offset + start } };
    this.#areas.push({ iommufd, id, iova: at, length, ...into });
    return at;
  }

  /** Lets the engine write to an area. */
  async #dma(
    { iommufd, id, iova, length }: Area,
    into: { readonly player: number; readonly offset: bigint },
  ): Promise<unknown> {
    if (iova + DMA_BYTES > REACH || length < DMA_BYTES) return "out of reach";
    const bench = new Bench(this.#bench.world);
    try {
      const engine = await bench.engine({ iommufd: iommufd.fd, ioas: id });
      const memory = await bench.device(this.#player(into.player));
      return await bench.world.lands(engine, iova, memory, Number(into.offset));
    } finally {
      await bench.close();
    }
  }

  async #toDevice(
    step: Extract<
      Step,
      {
        do:
          | "reset"
          | "hotReset"
          | "enterLowPower"
          | "exitLowPower"
          | "command"
          | "power"
          | "functionReset"
          | "attach";
      }
    >,
  ): Promise<unknown> {
    const file = this.#pick(step.device, "device");
    if (file === undefined) return "nothing to be done";
    const { fd } = file;
    switch (step.do) {
      case "reset":
        return await this.#lane.resetDevice(fd);
      case "hotReset":
        return await this.#lane.hotReset(fd, []);
      case "enterLowPower":
        return await this.#lane.enterLowPower(fd);
      case "exitLowPower":
        return await this.#lane.exitLowPower(fd);
      case "command":
        return await this.#bench.writeCommand(fd, step.value);
      case "power":
        return await this.#bench.setPowerState(fd, step.state);
      case "attach":
        return await this.#lane.attachIoas(fd, step.id ?? this.#space(step.space)?.id ?? 1);
      case "functionReset": {
        const control = await this.#bench.capability(fd, 0x10) + 8n;
        const [low = 0, high = 0] = await this.#lane.readRegion(fd, CONFIG, control, 2);
        return await this.#bench.writeConfig(fd, control, [low, high | 0x80]);
      }
    }
  }

  /** Liveness and references of each buffer, command of each device, signals of each eventfd. */
  async #seen(): Promise<string> {
    const seen: string[] = [];
    for (const { kind, fd, player } of this.#files) {
      if (kind === "buffer") seen.push(await this.#bufferSeen(fd));
      if (kind === "device") seen.push(`${player}:${await this.#commandSeen(fd)}`);
      if (kind === "eventfd") seen.push(`${this.#bench.kernel.readEventFd(fd)}`);
    }
    return seen.join(" ");
  }

  async #commandSeen(device: Fd): Promise<string> {
    try {
      const [low = 0] = await this.#lane.readRegion(device, CONFIG, COMMAND, 1);
      // What else the firmware has set is the machine's affair.
      return `${low & (MEMORY | BUS_MASTER)}`;
    } catch (error) {
      if (error instanceof KernelError) return error.errnoName;
      throw error;
    }
  }

  async #bufferSeen(buffer: Fd): Promise<string> {
    const { size, references } = this.#bench.facts(buffer);
    return `${await this.#probe(buffer)}/${size / PAGE}/${references}`;
  }

  /** `done`, ENODEV, or EOPNOTSUPP of what has several ranges. */
  async #probe(buffer: Fd): Promise<string> {
    const iommufd = this.#bench.kernel.openIommufd();
    try {
      const ioas = await this.#lane.ioasAlloc(iommufd);
      const request = { start: 0n, length: PAGE, writeable: true };
      await this.#lane.ioasMapFile({ iommufd, ioas, dmaBuf: buffer, ...request });
      return "alive";
    } catch (error) {
      if (error instanceof KernelError) return error.errnoName;
      throw error;
    } finally {
      this.#bench.kernel.close(iommufd);
    }
  }
}

/**
 * Makes a history on two sides.
 *
 * @param steps the history
 * @param sides fresh, or with nothing open
 * @returns where they differ first; absent: nowhere
 */
export async function difference(
  steps: readonly Step[],
  sides: readonly [World, World],
): Promise<string | undefined> {
  const [one, other] = sides.map((world) => new History(world));
  if (one === undefined || other === undefined) throw new RangeError("two sides are compared");
  try {
    for (const [index, step] of steps.entries()) {
      const [here, there] = [await one.take(step), await other.take(step)];
      if (here !== there) {
        const which = `step ${index + 1}, ${shown(step)}`;
        return `${which}\n  ${sides[0].side}: ${here}\n  ${sides[1].side}: ${there}`;
      }
    }
    return undefined;
  } finally {
    await one.end();
    await other.end();
  }
}

/**
 * Leaves steps out, one by one, as long as the sides still differ.
 *
 * @param steps a history on which they do
 * @param differs whether they do on a shorter one
 * @returns a history of which no step can be left out
 */
export async function shortened(
  steps: readonly Step[],
  differs: (steps: readonly Step[]) => Promise<boolean>,
): Promise<readonly Step[]> {
  let shortest = steps;
  for (let before = Infinity; shortest.length < before;) {
    before = shortest.length;
    for (let index = shortest.length - 1; index >= 0; index--) {
      const shorter = shortest.toSpliced(index, 1);
      if (await differs(shorter)) shortest = shorter;
    }
  }
  return shortest;
}

/** @returns a step in one line */
export function shown(step: Step): string {
  return JSON.stringify(
    step,
    (_, value) => typeof value === "bigint" ? `0x${value.toString(16)}` : value,
  );
}
