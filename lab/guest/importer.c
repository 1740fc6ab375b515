/*
 * An importer that shares no code with Bargate: it is written against the kernel's headers alone,
 * does what it is told over a Unix socket, and says what the kernel answered. A friendly importer
 * or a hostile one, as the case wants it.
 *
 * importer SOCKET
 *
 * Commands, one a line; each is answered by one line of JSON, {"ok":true,…} or
 * {"ok":false,"call":…,"error":"ENODEV",…}:
 *
 *   fds                        descriptors by name, as they came or were received
 *   ids                        uid, gid, pid and effective capabilities
 *   setup-edu CDEV             opens a DMA engine: bind to /dev/iommu, a new IOAS, attach
 *   setup-plain                the same without a DMA engine: maps, and moves nothing
 *   use-edu N                  the following commands use the Nth engine (0 is the first)
 *   map NAME IOVA              IOMMU_IOAS_MAP_FILE of the whole buffer, at a fixed address
 *   map-fd NUMBER IOVA         the same, of a descriptor by number
 *   try-map NAME               maps the whole buffer anywhere, and unmaps it again at once
 *   unmap IOVA LENGTH          IOMMU_IOAS_UNMAP
 *   copy SOURCE LENGTH IOVA    IOMMU_IOAS_COPY inside the IOAS
 *   dma-read IOVA LENGTH [AT]  the engine reads into its buffer, at offset AT
 *   dma-write IOVA LENGTH [AT] the engine writes from its buffer
 *   engine-fill BYTE LENGTH    fills the engine's buffer
 *   engine-peek LENGTH         what is in the engine's buffer, in hexadecimal
 *   channel-connect PATH       connects to a listening Bargate instead of the inherited channel
 *   channel-listen PATH        listens for a Bargate that connects
 *   channel-accept MS          waits for one; the connection is the channel
 *   channel-send JSON          sends a packet
 *   channel-send-fd NAME JSON  sends a packet with a descriptor; "iommufd" is the engine's
 *   channel-send-two NAME NAME PADDING JSON   the same with two, after so many blanks
 *   channel-recv MS            waits for a packet; its descriptors are kept as received0, …
 *   getfd TID FD               pidfd_getfd, from the table of that thread
 *   open NAME PATH             opens a file
 *   pipe                       makes a pipe; its end to read from is known as "pipe"
 *   close NAME                 closes a descriptor
 *   dup NAME AS                duplicates a descriptor, under another name
 *   hold CDEV [NAME]           opens a device and keeps it, as its owner; it is known as "held"
 *   hot-reset NAME             VFIO_DEVICE_PCI_HOT_RESET of a device that it holds
 *   hold-group NODE ADDRESS container|iommufd   the same by its group, and "group", "container"
 *   export NAME BAR            exports the first page of a BAR of the held device
 *   arm WHICH                  an eventfd of its own on intx, msix (the first), error or request
 *   trigger WHICH              signals it, through VFIO
 *   signals                    how often each eventfd was signalled since this was asked last
 *   low-power [wakeup]         VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY; with an eventfd for wake-ups
 *   low-power-exit             VFIO_DEVICE_FEATURE_LOW_POWER_EXIT
 *   config-read OFFSET         two bytes of configuration space, through VFIO
 *   config-write OFFSET VALUE  the same
 *   reset                      VFIO_DEVICE_RESET
 *   stick NAME                 puts a fence that is never signalled on a buffer: a revoke waits for it
 *   ignore-sigterm             does not end when it is asked to
 *   sleep-forever              answers and then does nothing until it is killed
 *   exit STATUS                ends, without an answer
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "answer.h"
#include "channel.h"
#include "edu.h"
#include "named_fds.h"
#include "owner.h"
#include "words.h"

#define CHANNEL_NAME "bargate"
#define LISTENER_NAME "listener"
#define MAX_ENGINES 8

static struct edu engines[MAX_ENGINES];
static int engine_count;
static struct edu *engine;
static int received;

static void list_fds(void)
{
	answer_begin(1);
	answer_number("count", named_fds_count());
	for (int i = 0; i < named_fds_count(); i++)
		answer_number(named_fds_at(i)->name, named_fds_at(i)->fd);
	answer_end();
}

static void show_ids(void)
{
	char text[256];
	uint64_t capabilities = 0;
	FILE *status = fopen("/proc/self/status", "re");

	while (status && fgets(text, sizeof(text), status))
		sscanf(text, "CapEff: %" SCNx64, &capabilities);
	if (status)
		fclose(status);
	answer_begin(1);
	answer_number("uid", getuid());
	answer_number("gid", getgid());
	answer_number("pid", getpid());
	answer_hex("capabilities", capabilities);
	answer_end();
}

/* All engines share one iommufd, as engines of one IOMMU group must. */
static int shared_iommufd(void)
{
	if (engine_count)
		return engines[0].iommufd;
	return open("/dev/iommu", O_RDWR | O_CLOEXEC);
}

static void setup_edu(void)
{
	const char *cdev = word();
	const char *failed;
	int iommufd = shared_iommufd();

	if (engine_count == MAX_ENGINES)
		return answer_usage("too many engines");
	if (iommufd < 0)
		return answer_errno("open /dev/iommu", errno);
	failed = edu_open(&engines[engine_count], cdev, iommufd);
	if (failed)
		return answer_errno(failed, errno);
	engine = &engines[engine_count++];
	answer_begin(1);
	answer_number("engine", engine_count - 1);
	answer_number("iommufd", engine->iommufd);
	answer_number("device", engine->device_id);
	answer_number("ioas", engine->ioas);
	answer_end();
}

static void setup_plain(void)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int iommufd = shared_iommufd();

	if (engine_count == MAX_ENGINES)
		return answer_usage("too many engines");
	if (iommufd < 0)
		return answer_errno("open /dev/iommu", errno);
	if (ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc))
		return answer_errno("IOMMU_IOAS_ALLOC", errno);
	engine = &engines[engine_count++];
	engine->iommufd = iommufd;
	engine->ioas = alloc.out_ioas_id;
	answer_begin(1);
	answer_number("iommufd", iommufd);
	answer_number("ioas", engine->ioas);
	answer_end();
}

static void use_edu(void)
{
	uint64_t index = number();

	if (index >= (uint64_t)engine_count)
		return answer_usage("no such engine");
	engine = &engines[index];
	answer_ok();
}

static void map_descriptor(int fd)
{
	uint64_t iova = number();
	off_t size = lseek(fd, 0, SEEK_END);
	struct iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.fd = fd,
		.iova = iova,
	};

	if (!engine)
		return answer_usage("setup-edu comes first");
	if (size < 0)
		return answer_errno("lseek", errno);
	map.ioas_id = engine->ioas;
	map.length = size;
	if (ioctl(engine->iommufd, IOMMU_IOAS_MAP_FILE, &map))
		return answer_errno("IOMMU_IOAS_MAP_FILE", errno);
	answer_begin(1);
	answer_hex("iova", map.iova);
	answer_number("length", size);
	answer_end();
}

static void map_by_name(void)
{
	int fd = named_fds_find(word());

	if (fd < 0)
		return answer_usage("no descriptor of that name");
	map_descriptor(fd);
}

static void map_by_number(void)
{
	map_descriptor(number());
}

static void try_map(void)
{
	int fd = named_fds_find(word());
	off_t size = lseek(fd, 0, SEEK_END);
	struct iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_READABLE,
		.fd = fd,
		.length = size,
	};
	struct iommu_ioas_unmap unmap = { .size = sizeof(unmap) };

	if (!engine)
		return answer_usage("setup-edu comes first");
	if (size < 0)
		return answer_errno("lseek", errno);
	map.ioas_id = unmap.ioas_id = engine->ioas;
	if (ioctl(engine->iommufd, IOMMU_IOAS_MAP_FILE, &map))
		return answer_errno("IOMMU_IOAS_MAP_FILE", errno);
	unmap.iova = map.iova;
	unmap.length = map.length;
	if (ioctl(engine->iommufd, IOMMU_IOAS_UNMAP, &unmap))
		return answer_errno("IOMMU_IOAS_UNMAP", errno);
	answer_ok();
}

static void unmap(void)
{
	struct iommu_ioas_unmap unmap = { .size = sizeof(unmap) };

	if (!engine)
		return answer_usage("setup-edu comes first");
	unmap.ioas_id = engine->ioas;
	unmap.iova = number();
	unmap.length = number();
	if (ioctl(engine->iommufd, IOMMU_IOAS_UNMAP, &unmap))
		return answer_errno("IOMMU_IOAS_UNMAP", errno);
	answer_begin(1);
	answer_number("length", unmap.length);
	answer_end();
}

static void copy(void)
{
	struct iommu_ioas_copy copy = {
		.size = sizeof(copy),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
	};

	if (!engine)
		return answer_usage("setup-edu comes first");
	copy.dst_ioas_id = copy.src_ioas_id = engine->ioas;
	copy.src_iova = number();
	copy.length = number();
	copy.dst_iova = number();
	if (ioctl(engine->iommufd, IOMMU_IOAS_COPY, &copy))
		return answer_errno("IOMMU_IOAS_COPY", errno);
	answer_begin(1);
	answer_hex("iova", copy.dst_iova);
	answer_end();
}

static void dma(enum edu_direction direction)
{
	uint64_t iova = number();
	uint32_t length = number();
	uint32_t offset = number();
	const char *failed;

	if (!engine || !engine->registers)
		return answer_usage("setup-edu comes first");
	failed = edu_dma(engine, direction, iova, offset, length);
	if (failed)
		return answer_errno(failed, errno);
	answer_ok();
}

static void fill_engine(void)
{
	uint8_t byte = number();
	uint32_t length = number();
	const char *failed;

	if (!engine)
		return answer_usage("setup-edu comes first");
	failed = edu_fill(engine, byte, length);
	if (failed)
		return answer_errno(failed, errno);
	answer_ok();
}

static void peek_engine(void)
{
	static char text[2 * EDU_BUFFER_BYTES + 1];
	uint32_t length = number();
	const uint8_t *bytes;
	const char *failed;

	if (!engine)
		return answer_usage("setup-edu comes first");
	failed = edu_peek(engine, &bytes, length);
	if (failed)
		return answer_errno(failed, errno);
	for (uint32_t i = 0; i < length; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	answer_begin(1);
	answer_string("bytes", text);
	answer_end();
}

static void connect_channel(void)
{
	int fd = channel_connect(word());

	if (fd < 0)
		return answer_errno("connect", errno);
	named_fds_add(CHANNEL_NAME, fd);
	answer_ok();
}

static void listen_for_channel(void)
{
	int fd = channel_listen(word());

	if (fd < 0)
		return answer_errno("listen", errno);
	named_fds_add(LISTENER_NAME, fd);
	answer_ok();
}

static void accept_channel(void)
{
	int listener = named_fds_find(LISTENER_NAME);

	if (listener < 0)
		return answer_usage("channel-listen comes first");
	int fd = channel_accept(listener, number());
	if (fd < 0)
		return answer_errno("accept", errno);
	named_fds_add(CHANNEL_NAME, fd);
	answer_ok();
}

static void send_packet(int fd)
{
	int channel = named_fds_find(CHANNEL_NAME);

	if (channel < 0)
		return answer_usage("no channel");
	if (channel_send(channel, rest(), fd))
		return answer_errno("sendmsg", errno);
	answer_ok();
}

/* Two descriptors, and a text that may be longer than a packet. */
static void send_too_much(void)
{
	static char text[CHANNEL_PACKET_BYTES * 2];
	int channel = named_fds_find(CHANNEL_NAME);
	int fds[] = { named_fds_find(word()), named_fds_find(word()) };
	size_t padding = number();

	if (channel < 0 || fds[0] < 0 || fds[1] < 0 || padding >= sizeof(text) - strlen(rest()))
		return answer_usage("channel-send-two NAME NAME PADDING JSON");
	memset(text, ' ', padding);
	strcpy(text + padding, rest());
	if (channel_send_fds(channel, text, fds, 2))
		return answer_errno("sendmsg", errno);
	answer_ok();
}

static void send_packet_with_fd(void)
{
	const char *name = word();
	int fd = engine && !strcmp(name, "iommufd") ? engine->iommufd : named_fds_find(name);

	if (fd < 0)
		return answer_usage("no descriptor of that name");
	send_packet(fd);
}

static void receive_packet(void)
{
	static struct channel_packet packet;
	int channel = named_fds_find(CHANNEL_NAME);
	int limit_ms = number();

	if (channel < 0)
		return answer_usage("no channel");
	int got = channel_receive(channel, limit_ms, &packet);
	if (got < 0)
		return answer_errno("recvmsg", errno);
	answer_begin(1);
	answer_string("state", got ? "packet" : "eof");
	if (got) {
		answer_text("packet", packet.text, packet.length);
		answer_number("fds", packet.fd_count);
		answer_number("truncated", packet.truncated);
		answer_number("first", received);
		for (int i = 0; i < packet.fd_count; i++) {
			char name[32];

			snprintf(name, sizeof(name), "received%d", received++);
			named_fds_add(name, packet.fds[i]);
		}
	}
	answer_end();
}

/* <linux/pidfd.h>, which older C libraries' <fcntl.h> contradicts: by thread, not by process. */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static void steal_fd(void)
{
	pid_t pid = number();
	int wanted = number();
	int pidfd = syscall(SYS_pidfd_open, pid, PIDFD_THREAD);

	if (pidfd < 0)
		return answer_errno("pidfd_open", errno);
	int fd = syscall(SYS_pidfd_getfd, pidfd, wanted, 0);
	int error = errno;
	close(pidfd);
	if (fd < 0)
		return answer_errno("pidfd_getfd", error);
	named_fds_add("stolen", fd);
	answer_begin(1);
	answer_number("fd", fd);
	answer_end();
}

static void make_pipe(void)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return answer_errno("pipe", errno);
	named_fds_add("pipe", ends[0]);
	answer_ok();
}

static void open_file(void)
{
	const char *name = word();
	int fd = open(word(), O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return answer_errno("open", errno);
	named_fds_add(name, fd);
	answer_ok();
}

static void close_fd(void)
{
	if (named_fds_close(word()))
		return answer_errno("close", errno);
	answer_ok();
}

static void duplicate_fd(void)
{
	int fd = named_fds_find(word());
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return answer_usage("no descriptor of that name");
	if (copy < 0)
		return answer_errno("dup", errno);
	named_fds_add(word(), copy);
	answer_ok();
}

/* drivers/dma-buf/sw_sync.c, which has no header for programs. */
struct sw_sync_create_fence_data {
	uint32_t value;
	char name[32];
	int32_t fence;
};
#define SW_SYNC_IOC_CREATE_FENCE _IOWR('W', 0, struct sw_sync_create_fence_data)

/* The timeline stays open with this process: its end signals the fence. */
static void stick(void)
{
	int buffer = named_fds_find(word());
	int timeline = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);
	struct sw_sync_create_fence_data fence = { .value = 1, .name = "stuck" };
	struct dma_buf_import_sync_file import = { .flags = DMA_BUF_SYNC_RW };

	if (buffer < 0)
		return answer_usage("no such descriptor");
	if (timeline < 0)
		return answer_errno("open sw_sync", errno);
	if (ioctl(timeline, SW_SYNC_IOC_CREATE_FENCE, &fence))
		return answer_errno("SW_SYNC_IOC_CREATE_FENCE", errno);
	import.fd = fence.fence;
	if (ioctl(buffer, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import))
		return answer_errno("DMA_BUF_IOCTL_IMPORT_SYNC_FILE", errno);
	close(fence.fence);
	answer_ok();
}

static void ignore_sigterm(void)
{
	signal(SIGTERM, SIG_IGN);
	answer_ok();
}

static void sleep_forever(void)
{
	answer_ok();
	for (;;)
		pause();
}

static void end(void)
{
	exit(number());
}

static void dma_read(void)
{
	dma(EDU_FROM_MEMORY);
}

static void dma_write(void)
{
	dma(EDU_TO_MEMORY);
}

static void send_plain_packet(void)
{
	send_packet(-1);
}

static const struct {
	const char *name;
	void (*run)(void);
} commands[] = {
	{ "fds", list_fds },
	{ "ids", show_ids },
	{ "setup-edu", setup_edu },
	{ "setup-plain", setup_plain },
	{ "use-edu", use_edu },
	{ "map", map_by_name },
	{ "map-fd", map_by_number },
	{ "try-map", try_map },
	{ "unmap", unmap },
	{ "copy", copy },
	{ "dma-read", dma_read },
	{ "dma-write", dma_write },
	{ "engine-fill", fill_engine },
	{ "engine-peek", peek_engine },
	{ "channel-connect", connect_channel },
	{ "channel-listen", listen_for_channel },
	{ "channel-accept", accept_channel },
	{ "channel-send", send_plain_packet },
	{ "channel-send-fd", send_packet_with_fd },
	{ "channel-send-two", send_too_much },
	{ "channel-recv", receive_packet },
	{ "getfd", steal_fd },
	{ "open", open_file },
	{ "pipe", make_pipe },
	{ "close", close_fd },
	{ "hold", owner_hold },
	{ "hot-reset", owner_hot_reset },
	{ "hold-group", owner_hold_by_group },
	{ "export", owner_export },
	{ "arm", owner_arm },
	{ "trigger", owner_trigger },
	{ "signals", owner_signals },
	{ "low-power", owner_enter_low_power },
	{ "low-power-exit", owner_exit_low_power },
	{ "config-read", owner_read_config },
	{ "config-write", owner_write_config },
	{ "reset", owner_reset },
	{ "dup", duplicate_fd },
	{ "stick", stick },
	{ "ignore-sigterm", ignore_sigterm },
	{ "sleep-forever", sleep_forever },
	{ "exit", end },
};

static void obey(char *line)
{
	words_begin(line);
	const char *name = word();

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].run();
	answer_usage("no such command");
}

static int connect_control(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		perror(path);
		exit(2);
	}
	return fd;
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;

	if (argc != 2) {
		fprintf(stderr, "usage: importer SOCKET\n");
		return 2;
	}
	named_fds_adopt();
	answer_fd = connect_control(argv[1]);
	FILE *control = fdopen(dup(answer_fd), "re");
	while ((length = getline(&line, &capacity, control)) > 0) {
		line[strcspn(line, "\n")] = '\0';
		obey(line);
	}
	return 0;
}
