/* Answers of the importer: one JSON object a line, on the control socket. */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdint.h>
#include <stddef.h>

/* Where answers go. Set once, when connected. */
extern int answer_fd;

void answer_begin(int ok);
void answer_number(const char *key, uint64_t value);
void answer_hex(const char *key, uint64_t value);
void answer_text(const char *key, const char *text, size_t length);
void answer_string(const char *key, const char *text);
void answer_end(void);

/* A whole answer: {"ok":true} */
void answer_ok(void);
/* A whole answer for a call that failed: {"ok":false,"call":…,"error":"ENODEV"}. */
void answer_errno(const char *call, int error);
/* A whole answer for a command that makes no sense: {"ok":false,"error":"usage","message":…}. */
void answer_usage(const char *message);

#endif
