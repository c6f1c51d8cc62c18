const name = 'x';
throw new Error(`no ${name}\nand more`);
