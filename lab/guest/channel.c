#define _GNU_SOURCE
#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int channel_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

int channel_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 1))
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

int channel_accept(int listener, int limit_ms)
{
	struct pollfd waiting = { .fd = listener, .events = POLLIN };
	int ready = poll(&waiting, 1, limit_ms);

	if (!ready)
		errno = ETIMEDOUT;
	return ready > 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
}

int channel_send_fds(int socket, const char *text, const int *fds, int count)
{
	struct iovec part = { .iov_base = (void *)text, .iov_len = strlen(text) };
	union {
		char bytes[CMSG_SPACE(CHANNEL_MAX_FDS * sizeof(int))];
		struct cmsghdr aligned;
	} control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

int channel_send(int socket, const char *text, int fd)
{
	return channel_send_fds(socket, text, &fd, fd < 0 ? 0 : 1);
}

static void take_fds(struct msghdr *message, struct channel_packet *packet)
{
	packet->fd_count = 0;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t bytes = h->cmsg_len - CMSG_LEN(0);
		memcpy(packet->fds, CMSG_DATA(h), bytes);
		packet->fd_count = bytes / sizeof(int);
	}
}

int channel_receive(int socket, int limit_ms, struct channel_packet *packet)
{
	struct pollfd waiting = { .fd = socket, .events = POLLIN };
	struct iovec part = { .iov_base = packet->text, .iov_len = sizeof(packet->text) };
	union {
		char bytes[CMSG_SPACE(sizeof(packet->fds))];
		struct cmsghdr aligned;
	} control;
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int ready = poll(&waiting, 1, limit_ms);

	if (!ready)
		errno = ETIMEDOUT;
	if (ready <= 0)
		return -1;
	ssize_t length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	/* a peer that was killed with packets unread resets the connection: gone as well */
	if (length < 0 && errno == ECONNRESET)
		return 0;
	if (length < 0)
		return -1;
	packet->length = length;
	packet->truncated = !!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
	take_fds(&message, packet);
	return length > 0;
}
