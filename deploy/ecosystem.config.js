// PM2 runs the Python worker like any other program: pm2 start deploy/ecosystem.config.js
module.exports = {
  apps: [{
    name: 'job-workers',
    script: 'windlass',
    args: ['worker', '--grace', '30s'],
    interpreter: 'none',
    instances: 1,
    exec_mode: 'fork',
    kill_timeout: 45000,
    env: {
      WINDLASS_APP: 'shop:app'
    }
  }]
};
