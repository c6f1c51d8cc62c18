const apps = [];
