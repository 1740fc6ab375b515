/* The importer's end of Bargate's channel: a SOCK_SEQPACKET socket named "bargate". */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <stddef.h>

#define CHANNEL_PACKET_BYTES (64 * 1024)
#define CHANNEL_MAX_FDS 253

struct channel_packet {
	char text[CHANNEL_PACKET_BYTES];
	size_t length;
	int fds[CHANNEL_MAX_FDS];
	int fd_count;
	int truncated;
};

/* Connects to a listening path; the descriptor, or -1 with errno. */
int channel_connect(const char *path);
/* Listens on a path, for one that connects; the descriptor, or -1 with errno. */
int channel_listen(const char *path);
/* Takes who connects; the descriptor, or -1 with errno (ETIMEDOUT: nobody did in time). */
int channel_accept(int listener, int limit_ms);
/* Sends a packet, with a descriptor unless `fd` is -1; 0, or -1 with errno. */
int channel_send(int socket, const char *text, int fd);
/* The same with several. */
int channel_send_fds(int socket, const char *text, const int *fds, int count);
/* 1: a packet came; 0: the other side is gone; -1 with errno (ETIMEDOUT: none came in time). */
int channel_receive(int socket, int limit_ms, struct channel_packet *packet);

#endif
