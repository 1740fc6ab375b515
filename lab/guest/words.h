/* The words that follow a command of the importer, taken one by one. */
#ifndef WORDS_H
#define WORDS_H

#include <stdint.h>

void words_begin(char *line);
/* The next word; empty where there is none. */
char *word(void);
uint64_t number(void);
/* All that follows. */
const char *rest(void);

#endif
