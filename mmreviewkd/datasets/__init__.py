"""What mmpretrain and mmdet have no class or tool for."""
