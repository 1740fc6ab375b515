#define _GNU_SOURCE
#include "answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int answer_fd = -1;

/* A packet of the importer channel has at most 64 KiB; each byte of it may take six to escape. */
static char line[512 * 1024];
static size_t used;

static void append(const char *text, size_t length)
{
	if (used + length >= sizeof(line))
		abort();
	memcpy(line + used, text, length);
	used += length;
}

static void append_string(const char *text)
{
	append(text, strlen(text));
}

static void append_escaped(const char *text, size_t length)
{
	append("\"", 1);
	for (size_t i = 0; i < length; i++) {
		unsigned char c = text[i];
		char escaped[8];

		if (c == '"' || c == '\\')
			snprintf(escaped, sizeof(escaped), "\\%c", c);
		else if (c < 0x20)
			snprintf(escaped, sizeof(escaped), "\\u%04x", c);
		else
			snprintf(escaped, sizeof(escaped), "%c", c);
		append_string(escaped);
	}
	append("\"", 1);
}

static void append_key(const char *key)
{
	append(",", 1);
	append_escaped(key, strlen(key));
	append(":", 1);
}

void answer_begin(int ok)
{
	used = 0;
	append_string(ok ? "{\"ok\":true" : "{\"ok\":false");
}

void answer_number(const char *key, uint64_t value)
{
	char number[32];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)value);
	append_key(key);
	append_string(number);
}

void answer_hex(const char *key, uint64_t value)
{
	char number[32];

	snprintf(number, sizeof(number), "0x%llx", (unsigned long long)value);
	answer_string(key, number);
}

void answer_text(const char *key, const char *text, size_t length)
{
	append_key(key);
	append_escaped(text, length);
}

void answer_string(const char *key, const char *text)
{
	answer_text(key, text, strlen(text));
}

void answer_end(void)
{
	size_t sent = 0;

	append("}\n", 2);
	while (sent < used) {
		ssize_t n = write(answer_fd, line + sent, used - sent);

		if (n < 0 && errno == EINTR)
			continue;
		/* nobody listens any more: there is nothing left to do */
		if (n <= 0)
			exit(1);
		sent += n;
	}
}

void answer_ok(void)
{
	answer_begin(1);
	answer_end();
}

void answer_errno(const char *call, int error)
{
	const char *name = strerrorname_np(error);

	answer_begin(0);
	answer_string("call", call);
	answer_string("error", name ? name : "unknown");
	answer_number("errno", error);
	answer_end();
}

void answer_usage(const char *message)
{
	answer_begin(0);
	answer_string("error", "usage");
	answer_string("message", message);
	answer_end();
}
