/**
 * A port that writes down what is called through it, in the words of a plan: descriptors by the names
 * of what gave them.
 *
 * @module
 */
import { Fd } from "../../engine/fd.ts";
import type { Kernel, Lane, LanePacket, MapRequest, SpawnRequest } from "../../engine/kernel.ts";
import { KernelError } from "../../engine/kernel_error.ts";
import type { Delivered } from "../../engine/planned_call.ts";

/** Calls that look at processes, watch or talk: they do nothing to a device or a buffer. */
const NO_STEPS = new Set([
  ...["makeNonDumpable", "openLane", "eventFd", "readEventFd", "watch", "end", "openProcess"],
  ...["pidOf", "hasExited", "identifyProcess", "identify", "account", "groupId", "childEnd"],
  ...["openUevents", "receiveUevent", "openInotify", "addFileWatch", "readFileEvents"],
  ...["socketPair", "passPidfds", "connect", "peerPidfd", "peerCredentials", "shutdown"],
  ...["openRevokeTrace", "signal", "configSpace"],
]);

/** The arguments are the port's, in its order. */
// deno-lint-ignore no-explicit-any
type Recorder = (make: () => unknown, ...args: any[]) => unknown;
// deno-lint-ignore no-explicit-any
type More = (...args: any[]) => Record<string, unknown>;

/** Everything that was called, up to the delivery. */
export class RecordingKernel {
  /** Once set, nothing more is recorded. */
  over = false;
  readonly calls: Record<string, unknown>[] = [];
  readonly delivered: Delivered[] = [];
  readonly #names = new Map<Fd, string>();
  readonly #spaces = new Map<string, string>();
  #iommufds = 0;
  #buffers = 0;

  /**
   * @param kernel what answers
   * @param more what it says otherwise
   */
  constructor(
    private readonly kernel: Kernel,
    private readonly more: {
      readonly pageSize?: number;
      /** Whether there is one; default: yes. */
      readonly iommufd?: boolean;
      /** The device that is borrowed. */
      readonly borrowed?: string;
      /** What is answered instead to the call of this number, by its answer. */
      readonly falsify?: (call: number, answer: unknown) => unknown;
    } = {},
  ) {}

  /** The port to give to the engine. */
  get port(): Kernel {
    return this.#proxy(this.kernel, {
      openLane: (make) => this.#lane(make() as Lane),
      openIommufd: (make) => this.#openIommufd(make as () => Fd),
      dmaBufFacts: (make, dmaBuf: Fd) => {
        this.calls.push({ call: "dmaBufFacts", on: this.#name(dmaBuf) });
        return make();
      },
      borrow: (make) => this.#copy(make() as Fd, "pidfd_getfd"),
      spawn: (make, request: SpawnRequest) => {
        this.#deliver(request.fds.filter(({ name }) => name !== "bargate"));
        return make();
      },
      send: (make, _socket: Fd, bytes: Uint8Array, fds: readonly Fd[] = []) => {
        const packet = JSON.parse(new TextDecoder().decode(bytes));
        this.#deliver(
          fds.map((fd) => ({ name: String(packet.export).split("/").at(-1) ?? "", fd })),
        );
        return make();
      },
      // What a socket or a pidfd keeps open is nothing of a device.
      close: (make) => make(),
      receive: (make) => make(),
    }, { pageSize: this.more.pageSize ?? this.kernel.pageSize });
  }

  #deliver(fds: readonly { readonly name: string; readonly fd: Fd }[]): void {
    for (const { name, fd } of fds) this.delivered.push({ name, dmaBuf: this.#name(fd) });
  }

  #openIommufd(make: () => Fd): Fd {
    const { iommufd = true } = this.more;
    this.calls.push({ call: "openIommufd", node: "/dev/iommu" });
    if (!iommufd) {
      throw new KernelError("open", 2, "ENOENT", "/dev/iommu");
    }
    return this.#named(make(), `iommufd ${++this.#iommufds}`);
  }

  #copy(fd: Fd, by: string): Fd {
    const address = this.more.borrowed;
    this.calls.push({ call: "borrow", address, by });
    return this.#named(fd, `copy of ${address}`);
  }

  #lane(lane: Lane): Lane {
    const on = (call: string, more: More = () => ({})): Recorder => (make, fd: Fd, ...args) => {
      this.calls.push({ call, on: this.#name(fd), ...more(...args) });
      return make();
    };
    const open = (call: string) => async (make: () => unknown, node: string) => {
      this.calls.push({ call, node });
      return this.#named(await make() as Fd, node);
    };
    return this.#proxy(lane, {
      openNode: open("openNode"),
      openShared: open("openShared"),
      bindIommufd: on("bindIommufd", (iommufd: Fd) => ({ iommufd: this.#name(iommufd) })),
      setContainer: on("setContainer", (fd: Fd) => ({ container: this.#name(fd) })),
      setType1Iommu: on("setType1Iommu"),
      groupDevice: async (make, group: Fd, address: string) => {
        this.calls.push({ call: "groupDevice", on: this.#name(group), address });
        return this.#named(await make() as Fd, address);
      },
      fileTarget: on("fileTarget"),
      deviceAddress: on("deviceAddress"),
      readRegion: on(
        "readRegion",
        (region: number, offset: bigint, length: number) => ({ region, offset, length }),
      ),
      writeRegion: on(
        "writeRegion",
        (region: number, offset: bigint, bytes: Uint8Array) => ({
          region,
          offset,
          bytes: bytes.toHex(),
        }),
      ),
      regionInfo: on("regionInfo", (region: number) => ({ region })),
      armInterrupt: on("armInterrupt", (interrupt: string) => ({ interrupt })),
      probeDmaBuf: on("probeDmaBuf"),
      ioasAlloc: async (make, iommufd: Fd) => {
        const of = this.#name(iommufd);
        const id = await make() as number;
        const gives = `ioas ${this.#spaces.size + 1}`;
        this.#spaces.set(`${of} ${id}`, gives);
        this.calls.push({ call: "ioasAlloc", on: of, gives });
        return id;
      },
      exportDmaBuf: async (make, device: Fd, region: number, ranges: unknown) => {
        const gives = `dma-buf ${++this.#buffers}`;
        this.calls.push({ call: "exportDmaBuf", on: this.#name(device), region, ranges, gives });
        return this.#named(await make() as Fd, gives);
      },
      ioasMapFile: (make, request: MapRequest) => {
        const { iommufd, ioas: id, dmaBuf, ...rest } = request;
        const ioas = this.#space(iommufd, id);
        const named = { on: this.#name(iommufd), ioas, dmaBuf: this.#name(dmaBuf) };
        this.calls.push({ call: "ioasMapFile", ...named, ...rest });
        return make();
      },
      ioasUnmap: (make, iommufd: Fd, id: number, _iova: bigint, length: bigint) => {
        const named = { on: this.#name(iommufd), ioas: this.#space(iommufd, id) };
        this.calls.push({ call: "ioasUnmap", ...named, length });
        return make();
      },
      close: (make, fd: Fd) => {
        // What was never named is a stranger's, or a socket.
        if (this.#names.has(fd)) this.calls.push({ call: "close", on: this.#name(fd) });
        return make();
      },
      receive: async (make) => {
        const packet = await make() as LanePacket | "empty" | "end";
        if (typeof packet === "string") return packet;
        for (const fd of packet.fds) this.#copy(fd, "socket");
        return packet;
      },
    });
  }

  #space(iommufd: Fd, id: number): string {
    return this.#spaces.get(`${this.#name(iommufd)} ${id}`) ?? "unknown";
  }

  #named(fd: Fd, name: string): Fd {
    this.#names.set(fd, name);
    return fd;
  }

  #name(fd: Fd): string {
    return this.#names.get(fd) ?? `unknown (${fd.what})`;
  }

  /** Whatever is neither recorded nor known to be no step is a hole in this recording. */
  #proxy<T extends object>(
    of: T,
    recorders: Readonly<Record<string, Recorder>>,
    values: Readonly<Record<string, unknown>> = {},
  ): T {
    return new Proxy(of, {
      get: (target, key) => {
        const name = String(key);
        if (name in values) return values[name];
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function" || name === "constructor") return value;
        if (this.over && name !== "openLane") return value.bind(target);
        const recorder = recorders[name];
        if (recorder === undefined && !NO_STEPS.has(name)) {
          return () => {
            throw new RangeError(`Cannot record ${name}: it is no step that a plan knows`);
          };
        }
        return (...args: unknown[]) => {
          const make = () => value.apply(target, args);
          if (recorder === undefined) return make();
          const [number, { falsify }] = [this.calls.length, this.more];
          const answer = recorder(make, ...args);
          if (falsify === undefined || this.calls.length === number) return answer;
          return answer instanceof Promise
            ? answer.then((value) => falsify(number, value), (error) => falsify(number, error))
            : falsify(number, answer);
        };
      },
    });
  }
}
