/*
 * The owner of a VFIO device that lends it to Bargate, with nothing but libc: what a program that has
 * a device open (SPDK, a VMM) adds to itself, so that slices of its BARs can be exported. The policy
 * says `acquire: borrow` and `owner: { user: …, socket: SOCKET }`.
 *
 *   cc -o lender lender.c && ./lender /run/lender/bargate.sock /dev/vfio/devices/vfio0 0000:03:00.0
 *
 * The protocol is docs/protocol.md, "The owner's socket": SOCK_SEQPACKET, one question and one answer
 * a connection. Whoever is sent a device fd can do everything with the device, so this looks who asks.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vfio.h>

#define QUESTION_BYTES 4096
#define NO_FD (-1)
/* Who connects and then says nothing does not keep us from serving others. */
#define PATIENCE_SECONDS 10

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int open_device(const char *node)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	int device = open(node, O_RDWR | O_CLOEXEC);

	if (device < 0)
		die(node);
	bind.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (bind.iommufd < 0)
		die("/dev/iommu");
	if (ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		die("VFIO_DEVICE_BIND_IOMMUFD");
	return device;
}

/* Bargate takes us for who called listen(): the very process that has the device open must. */
static int listen_on(const char *path)
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
	if (listen(listener, 8))
		die("listen");
	return listener;
}

/* Only root, and who could take the descriptor from us anyway. */
static int is_trusted(int connection)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return 0;
	return peer.uid == 0 || peer.uid == geteuid();
}

static void answer(int connection, const char *text, int fd)
{
	struct iovec part = { .iov_base = (void *)text, .iov_len = strlen(text) };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd != NO_FD) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(int));
	}
	if (sendmsg(connection, &message, MSG_NOSIGNAL) < 0)
		perror("sendmsg");
}

/*
 * While Bargate has its copy, our close would close nothing. It ends the connection after it has
 * closed the copy: only the end says so, however long it takes.
 */
static void wait_for_return(int connection, const char *address)
{
	char rest[64];

	for (;;) {
		ssize_t length = recv(connection, rest, sizeof(rest), 0);

		if (length == 0)
			break;
		if (length > 0 || errno == EINTR)
			continue; /* nothing more is asked on this connection */
		if (errno == EAGAIN || errno == EWOULDBLOCK) {
			printf("still lent %s\n", address);
			continue;
		}
		/* ECONNRESET: it ended with something of ours unread, and has closed its copy too. */
		if (errno != ECONNRESET)
			die("recv");
		break;
	}
	printf("returned %s\n", address);
}

/* Answers one question. `device` is the device fd, `address` the device's PCI address. */
static void lend(int connection, int device, const char *address)
{
	struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	char question[QUESTION_BYTES], wanted[64];

	setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ssize_t length = recv(connection, question, sizeof(question) - 1, 0);
	if (length <= 0)
		return; /* Bargate has only looked who we are */
	question[length] = '\0';
	snprintf(wanted, sizeof(wanted), "\"device\":\"%s\"", address);
	if (!strstr(question, "\"type\":\"lend\"") || !strstr(question, wanted)) {
		answer(connection, "{\"v\":1,\"type\":\"refused\",\"message\":\"not mine\"}", NO_FD);
		return;
	}
	answer(connection, "{\"v\":1,\"type\":\"lent\"}", device);
	printf("lent %s\n", address);
	wait_for_return(connection, address);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: lender SOCKET DEVICE-NODE PCI-ADDRESS\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	int device = open_device(argv[2]);
	int listener = listen_on(argv[1]);
	printf("listening\n");
	for (;;) {
		int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (connection < 0)
			die("accept");
		if (is_trusted(connection))
			lend(connection, device, argv[3]);
		close(connection);
	}
}
