/*
 * A receiver of dma-bufs, with nothing but libc: waits for Bargate on a socket, takes what it is
 * granted, and lets go when it is told to. `bargate export POLICY --send SOCKET` connects to it.
 *
 *   cc -o receiver receiver.c && ./receiver /run/receiver/bargate.sock
 *
 * The protocol is docs/protocol.md: SOCK_SEQPACKET, one JSON object a packet, descriptors beside it
 * (SCM_RIGHTS). To keep to libc, this looks fields up by searching the text, which serves for the
 * packets of version 1; a program that has a JSON library uses that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PACKET_BYTES (64 * 1024)
#define MAX_GRANTS 64
#define NO_FD (-1)

/* What we have been granted, by the id that Bargate uses for it in all later packets. */
struct grant {
	char id[64];
	int fd;
};

static struct grant grants[MAX_GRANTS];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Bargate connects to us, and takes us for who called listen(): this very process must. */
static int wait_for_bargate(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (listener < 0)
		die("socket");
	if (strlen(path) >= sizeof(address.sun_path)) {
		fprintf(stderr, "%s: too long for a socket\n", path);
		exit(1);
	}
	strcpy(address.sun_path, path);
	unlink(path);
	/* Nobody but root and we ourselves may connect. */
	umask(0177);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)))
		die(path);
	if (listen(listener, 1))
		die("listen");
	printf("listening\n");
	int channel = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (channel < 0)
		die("accept");
	close(listener);
	return channel;
}

static void say(int channel, const char *packet)
{
	/* That Bargate has gone shows when we read. */
	if (send(channel, packet, strlen(packet), MSG_NOSIGNAL) < 0 && errno != EPIPE)
		die("send");
}

/* One packet, and the descriptor that came with it, or NO_FD. Returns 0 when Bargate has gone. */
static int hear(int channel, char *text, int *fd)
{
	struct iovec part = { .iov_base = text, .iov_len = PACKET_BYTES };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control;
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	/* Close-on-exec: what we are granted is not for programs that we start. */
	ssize_t length = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);

	if (length < 0 && errno != ECONNRESET)
		die("recvmsg");
	text[length > 0 ? length : 0] = '\0';
	*fd = NO_FD;
	struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(header), sizeof(int));
	return length > 0;
}

/* The text of "name":"text", cut to what fits; empty where there is none. */
static void field(const char *packet, const char *name, char *text, size_t size)
{
	char key[64];

	snprintf(key, sizeof(key), "\"%s\":\"", name);
	const char *found = strstr(packet, key);
	const char *start = found ? found + strlen(key) : "";
	snprintf(text, size, "%.*s", (int)strcspn(start, "\""), start);
}

static struct grant *find_grant(const char *id)
{
	for (int i = 0; i < MAX_GRANTS; i++)
		if (!strcmp(grants[i].id, id))
			return &grants[i];
	return NULL;
}

static void let_go(struct grant *grant)
{
	/* A program that has mapped the buffer unmaps it here, before it closes it. */
	if (grant->fd != NO_FD)
		close(grant->fd);
	grant->fd = NO_FD;
}

static void take(const char *id, const char *packet, int fd)
{
	char name[256], size[32];
	struct grant *grant = find_grant("");

	if (!grant) {
		fprintf(stderr, "too many grants\n");
		exit(1);
	}
	field(packet, "export", name, sizeof(name));
	field(packet, "size", size, sizeof(size));
	snprintf(grant->id, sizeof(grant->id), "%s", id);
	grant->fd = fd;
	/* Here a program imports the buffer: IOMMU_IOAS_MAP_FILE, ibv_reg_dmabuf_mr, … */
	printf("granted %s %s, %lld bytes here\n", name, size, (long long)lseek(fd, 0, SEEK_END));
}

static void obey(int channel, const char *packet, int fd)
{
	char type[32], id[64], reason[32], answer[128];

	field(packet, "type", type, sizeof(type));
	field(packet, "grant", id, sizeof(id));
	field(packet, "reason", reason, sizeof(reason));
	if (!strcmp(type, "granted") && fd != NO_FD)
		return take(id, packet, fd);
	if (fd != NO_FD)
		close(fd);
	struct grant *grant = *id ? find_grant(id) : NULL;
	/* suspended: DMA faults until restored, and then old mappings may be dead (`after`). */
	printf("%s %s\n", type, reason);
	if (!grant)
		return;
	if (!strcmp(type, "revoking")) {
		/* We have its grace to let go; whoever says so early is not waited for. */
		let_go(grant);
		snprintf(answer, sizeof(answer), "{\"type\":\"release\",\"grant\":\"%s\"}", id);
		say(channel, answer);
	} else if (!strcmp(type, "revoked")) {
		/* It is over: the descriptor cannot be imported any more, by anybody. */
		let_go(grant);
		grant->id[0] = '\0';
	}
}

int main(int argc, char **argv)
{
	static char packet[PACKET_BYTES + 1];
	int fd;

	if (argc != 2) {
		fprintf(stderr, "usage: receiver SOCKET\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	int channel = wait_for_bargate(argv[1]);
	/* We speak first: Bargate gives nothing to a process that has not said hello. */
	say(channel, "{\"type\":\"hello\",\"v\":1}");
	while (hear(channel, packet, &fd))
		obey(channel, packet, fd);
	/* Bargate has gone, and with it everything that it granted. */
	for (int i = 0; i < MAX_GRANTS; i++)
		if (grants[i].id[0])
			let_go(&grants[i]);
	printf("end\n");
	unlink(argv[1]);
	return 0;
}
