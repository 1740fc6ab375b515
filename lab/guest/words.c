#define _GNU_SOURCE
#include "words.h"

#include <stdlib.h>
#include <string.h>

static char *rest_of_line;

void words_begin(char *line)
{
	rest_of_line = line;
}

char *word(void)
{
	char *next;

	do {
		next = strsep(&rest_of_line, " ");
	} while (next && !*next);
	return next ? next : "";
}

uint64_t number(void)
{
	return strtoull(word(), NULL, 0);
}

const char *rest(void)
{
	return rest_of_line ? rest_of_line : "";
}
